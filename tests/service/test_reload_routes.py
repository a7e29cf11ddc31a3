"""What the HTTP routes say while policies change, and that everything is denied when they are too old."""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving import Served
from versions import ANSWERS, batch, quizzes
from werkzeug.test import Client

from klausel.storage.policy_files.folder import PolicyFiles

RELOAD = "/v1/policy:reload"


def metrics(served: Served) -> dict[str, float]:
    """Values by name and, where there is one, `result`."""
    answer = served.ask("GET", "/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain")
    families = text_string_to_metric_families(answer.get_data(as_text=True))
    samples = [sample for family in families for sample in family.samples]
    return {sample.name + sample.labels.get("result", ""): sample.value for sample in samples}


def test_a_reload_takes_a_good_set_and_answers_with_its_version(served: Served, quizzes_file: Path) -> None:
    before = served.get("/v1/policy")
    answer = served.ask("POST", RELOAD)
    assert (answer.status_code, answer.get_json()) == (200, {"result": "unchanged", **before})
    quizzes_file.write_text(quizzes("B"))
    answer = served.ask("POST", RELOAD)
    after = served.get("/v1/policy")
    assert (answer.status_code, answer.get_json()) == (200, {"result": "taken", **after})
    assert after["files_digest"] != before["files_digest"]
    assert served.decisions() == ANSWERS["B"]


def test_a_refused_set_is_told_with_its_problems_until_it_is_mended(served: Served, quizzes_file: Path) -> None:
    before = served.get("/v1/policy")
    quizzes_file.write_text(quizzes("B", "does not load"))
    answer = served.ask("POST", RELOAD)
    assert answer.status_code == 409
    told = answer.get_json()
    assert told["error"] == {"status": 409, "message": "the files are refused, so the last good policies stay in force"}
    refused = told["refused"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", refused["since"])
    assert refused["count"] == len(refused["problems"]) == 1
    assert 'quizzes.yaml:7:13: error: unknown role "agnet"; did you mean "agent"?' in refused["problems"][0]
    assert served.get("/v1/policy") == {**before, "refused": refused}
    ready = served.ask("GET", "/readyz")
    assert (ready.status_code, ready.get_json()) == (200, {"status": "ready", "refused": refused})
    assert served.decisions() == ANSWERS["A"]
    quizzes_file.write_text(quizzes("A"))
    assert served.ask("POST", RELOAD).get_json() == {"result": "unchanged", **before}
    assert served.get("/readyz") == {"status": "ready"}


def test_many_problems_are_counted_and_a_hundred_listed(served: Served, quizzes_file: Path) -> None:
    quizzes_file.write_text(quizzes("A") + "  - {allow: agnet, to: view, resource: quiz}\n" * 300)
    refused = served.ask("POST", RELOAD).get_json()["refused"]
    assert (refused["count"], len(refused["problems"])) == (300, 100)


def test_a_reload_over_http_tells_the_other_processes(served: Served) -> None:
    told: list[bool] = []
    service = dataclasses.replace(served.service, tell_other_processes=lambda: told.append(True))
    assert service.reload_policy() == "unchanged"
    assert told == [True]


@pytest.mark.parametrize("door", ["lane", "flask"])
def test_only_one_reload_over_http_waits_at_a_time_and_others_are_told_to_ask_again(
    opened: Callable[..., Served], quizzes_file: Path, door: str
) -> None:
    """Whoever waits answers no questions, and loading may take seconds."""
    served = opened()
    began, goes_on = threading.Event(), threading.Event()

    class Slow:
        shown_as = "policies"

        def __init__(self, source: Any) -> None:
            self.source = source

        def read(self) -> PolicyFiles:
            began.set()
            assert goes_on.wait(30)
            return self.source.read()  # type: ignore[no-any-return]

    served.live._source = Slow(served.live._source)
    quizzes_file.write_text(quizzes("B"))
    answers: list[int] = []
    first = threading.Thread(target=lambda: answers.append(served.ask("POST", RELOAD, door=door).status_code))
    first.start()
    assert began.wait(30)
    refused = served.ask("POST", RELOAD, door=door)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert "ask again" in refused.get_json()["error"]["message"]
    goes_on.set()
    first.join()
    assert answers == [200]
    assert served.decisions() == ANSWERS["B"]
    assert served.ask("POST", RELOAD, door=door).get_json()["result"] == "unchanged"


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (200, {}),
        (200, {"data": "{}", "content_type": "application/json"}),
        (200, {"headers": {"Sec-Fetch-Site": "none"}}),
        (400, {"data": '{"force": true}', "content_type": "application/json"}),
        (400, {"data": "{}", "content_type": "text/plain"}),
        (413, {"data": b"x" * 2_000_000, "content_type": "application/json"}),
        (403, {"headers": {"Sec-Fetch-Site": "cross-site"}}),
        (403, {"headers": {"Sec-Fetch-Site": "same-site"}}),
        (403, {"headers": {"Origin": "https://evil.example"}}),
        (200, {"headers": {"Origin": "http://localhost:8080", "Sec-Fetch-Site": "same-origin"}}),
        (403, {"headers": {"Host": "example.com"}}),
    ],
)
def test_a_reload_is_guarded_as_other_changes_are(served: Served, status: int, sent: dict[str, Any]) -> None:
    before = served.live.reloads["unchanged"]
    assert Client(served.applications["lane"]).post(RELOAD, **sent).status_code == status
    assert served.live.reloads["unchanged"] == before + (status == 200)


def test_metrics_count_what_came_of_reloads(served: Served, quizzes_file: Path) -> None:
    before = metrics(served)
    assert before["klausel_policy_refused"] == before["klausel_policy_too_old"] == 0
    assert before["klausel_policy_info"] == 1
    served.live.refresh()
    quizzes_file.write_text(quizzes("B", "fails a test"))
    served.live.refresh()
    assert metrics(served)["klausel_policy_refused"] == 1
    quizzes_file.write_text(quizzes("B"))
    served.live.refresh()
    after = metrics(served)
    assert after["klausel_policy_refused"] == 0
    counts = {result: after[f"klausel_policy_reloads_total{result}"] for result in ("taken", "unchanged", "refused")}
    assert counts == {"taken": 1, "unchanged": 1, "refused": 1}
    confirmed = "klausel_policy_confirmed_timestamp_seconds"
    assert after[confirmed] > before[confirmed] > 1.7e9
    digest = served.get("/v1/policy")["files_digest"]
    assert f'files_digest="{digest}"' in served.ask("GET", "/metrics").get_data(as_text=True)


# --- Too old ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def aged(opened: Callable[..., Served], quizzes_file: Path) -> Served:
    """A service whose files are refused for longer than policies may be old."""
    served = opened(max_policy_age_seconds=0.001)
    quizzes_file.write_text(quizzes("B", "does not load"))
    assert served.live.refresh() == "refused"
    while not served.live.is_too_old:
        pass
    return served


REASON = "the policies could not be refreshed for more than 0.001 seconds"


@pytest.mark.parametrize("door", ["flask", "lane"])
def test_policies_that_are_too_old_deny_everything_with_the_reason(aged: Served, door: str) -> None:
    denied = {"decision": False, "context": {"reason": REASON}}
    answer = aged.ask("POST", "/access/v1/evaluations", batch(), door).get_json()
    assert answer == {"evaluations": [denied] * len(ANSWERS["A"])}
    one: dict[str, Any] = {**batch(), "action": {"name": "view"}}
    del one["evaluations"]
    assert aged.ask("POST", "/access/v1/evaluation", one, door).get_json() == denied
    explained = aged.ask("POST", "/v1/explain", one).get_json()
    assert (explained["decision"], explained["reason"]) == (False, f"denied, because {REASON}")


def test_policies_that_are_too_old_are_not_ready(aged: Served) -> None:
    answer = aged.ask("GET", "/readyz")
    assert answer.status_code == 503
    assert answer.get_json()["error"]["message"] == f"{REASON}, so everything is denied"
    assert answer.get_json()["refused"]["count"] == 1
    assert metrics(aged)["klausel_policy_too_old"] == 1


def test_a_good_set_ends_the_denying(aged: Served, quizzes_file: Path) -> None:
    quizzes_file.write_text(quizzes("B"))
    assert aged.live.refresh() == "taken"
    aged.live.max_age_seconds = 3600
    assert aged.decisions() == ANSWERS["B"]
    assert aged.get("/readyz") == {"status": "ready"}

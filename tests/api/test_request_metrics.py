"""Requests and decisions are counted, whichever door answers them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving import Served
from versions import batch, write_set
from werkzeug.test import Client

from klausel.api.lane import EvaluationLane
from klausel.api.metrics import Metrics
from klausel.api.request_metrics import BOUNDS, RequestMetrics
from klausel.app import create_flask_app
from klausel.settings import Settings

EVALUATION, EVALUATIONS = "/access/v1/evaluation", "/access/v1/evaluations"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    write_set(tmp_path)
    served = Served(Settings(policies=tmp_path / "policies", database=f"sqlite:///{tmp_path}/people.db"))
    yield served
    served.close()


@pytest.mark.parametrize("door", ["lane", "flask"])
def test_each_request_and_each_decision_is_counted_once(served: Served, door: str) -> None:
    counted = RequestMetrics()
    flask = create_flask_app(served.service, Metrics(served.service, counted), counted)
    lane = EvaluationLane(served.service, flask.wsgi_app, metrics=counted)
    client = Client(lane if door == "lane" else flask)
    questions = batch()
    answers = client.post(EVALUATIONS, json=questions).get_json()["evaluations"]
    for question in questions["evaluations"]:
        one = {**{key: value for key, value in questions.items() if key != "evaluations"}, **question}
        answers.append(client.post(EVALUATION, json=one).get_json())
    assert client.post(EVALUATION, data="{", content_type="application/json").status_code == 400
    assert client.get("/nothing/here/<script>").status_code == 404
    assert client.get("/v1/policy").status_code == 200
    told = {
        (sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "process")): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").get_data(as_text=True))
        for sample in family.samples
    }
    singles, allowed = len(questions["evaluations"]), sum(answer["decision"] for answer in answers)
    assert 0 < allowed < len(answers)
    assert told["klausel_decisions_total", "allow"] == allowed
    assert told["klausel_decisions_total", "deny"] == len(answers) - allowed
    requests = {key[1:]: value for key, value in told.items() if key[0] == "klausel_requests_total"}
    assert requests == {
        (EVALUATIONS, "200"): 1,
        (EVALUATION, "200"): singles,
        (EVALUATION, "400"): 1,
        ("other", "404"): 1,
        ("/v1/policy", "200"): 1,
    }
    assert told["klausel_request_duration_seconds_count", EVALUATION] == singles + 1
    buckets = [told["klausel_request_duration_seconds_bucket", str(bound), EVALUATION] for bound in BOUNDS]
    assert buckets == sorted(buckets)
    assert 0 < told["klausel_request_duration_seconds_sum", EVALUATION] < 60
    assert told["klausel_effective_roles_reads_total",] >= 1
    assert told["klausel_effective_roles_kept",] >= 1


def test_what_takes_as_long_as_a_bound_is_counted_below_it() -> None:
    counted = RequestMetrics()
    for seconds in (0.0, 0.00025, 0.00026, 10.0, 11.0):
        counted.count("/x", 200, seconds)
    (durations,) = (one for one in counted.collect() if one.type == "histogram")
    numbers = [sample.value for sample in durations.samples if sample.name.endswith("_bucket")]
    assert numbers == [2] + [3] * (len(BOUNDS) - 2) + [4, 5]

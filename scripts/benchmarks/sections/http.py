"""Over HTTP: Klausel and Cerbos, single and in batches, beside a plain Flask route and a bare WSGI function."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.children import asked, child, free_port, python, python_code, wait_for
from benchmarks.contestants import compiled
from benchmarks.measuring import Comparison, Round, Section, alternate, at_least
from benchmarks.organisation import people
from benchmarks.peers.cerbos import ALLOW, DENY, PATH, Cerbos
from benchmarks.scale import Scale
from benchmarks.sections import plain_apps
from benchmarks.workload import MODEL, POLICIES, Question, make_batches
from klausel.core.policy.policy_set import PolicySet
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database

EVALUATION = "/access/v1/evaluation"
EVALUATIONS = "/access/v1/evaluations"
Step = Callable[[str], None]


class Door(NamedTuple):
    """A route of one server with the words of its answers."""

    port: int
    log: Path
    path: str
    allow: str = '"decision":true'
    deny: str = '"decision":false'


class Exchange(NamedTuple):
    """A body, and how many allows and denies its answer holds."""

    body: bytes
    allows: int
    denies: int


class WrongAnswers(Exception):
    """A server gave other answers under load than Klausel gives in process."""


@contextmanager
def klausel_server(
    policy: PolicySet, folder: Path, count: int, options: Sequence[str] = (), workers: int | None = None
) -> Iterator[Door]:
    """`klausel serve` on a database with so many people, and with further options."""
    url = f"sqlite:///{folder}/http.db"
    store = AssignmentStore(open_database(url))
    store.import_rows(policy.roles, people(policy.roles, count))
    store.close()
    port = free_port()
    command = python_code(
        "from klausel.cli.main import main; main()",
        "serve",
        "--policies",
        str(POLICIES),
        "--model",
        str(MODEL),
        "--database",
        url,
    )
    log = folder / "klausel.log"
    with child([*command, "--port", str(port), "--workers", str(workers or cores()), *options], log) as process:
        wait_for(port, "/readyz", process, log)
        yield Door(port, log, EVALUATION)


@contextmanager
def plain_server(kind: str, folder: Path) -> Iterator[Door]:
    """One of `plain_apps` under the settings of `klausel serve`."""
    port = free_port()
    log = folder / f"{kind}.log"
    with child(
        python_code("from benchmarks.sections.plain_apps import serve; serve()", kind, str(port), str(cores())), log
    ) as process:
        wait_for(port, "/", process, log)
        yield Door(port, log, plain_apps.PATH, deny="never sent")


def cores() -> int:
    """The number of cores that this process may use; also the number of workers of each server."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Service(NamedTuple):
    """A running service, as a contestant that is asked one request at a time."""

    door: Door

    def answers(self, questions: Sequence[Question]) -> Iterator[bool]:
        """See `Contestant`."""
        connection = HTTPConnection("127.0.0.1", self.door.port, timeout=10)
        try:
            for question in questions:
                body = json.dumps(question.as_authzen())
                connection.request("POST", self.door.path, body, {"Content-Type": "application/json"})
                yield json.loads(connection.getresponse().read())["decision"]
        finally:
            connection.close()

    def round(self, questions: Sequence[Question], seconds: float) -> Round:
        """Not in process; see `measure_http`."""
        raise NotImplementedError


def measure_http(
    policy: PolicySet,
    service: Door,
    questions: list[Question],
    wanted: list[bool],
    cerbos: Cerbos | None,
    folder: Path,
    scale: Scale,
    step: Step,
) -> Section:
    """Requests and decisions in a second, each server with as many workers as cores; all on this machine alone."""
    section = Section(
        "Over HTTP",
        f"{cores()} cores for server and load generator together, {cores()} workers, {scale.connections} keep-alive connections. "
        "Klausel looks the roles of the subject up; Cerbos is told them.",
    )
    singles = [([question], [answer]) for question, answer in zip(questions, wanted, strict=True)]
    batches = answered_batches(policy, questions, scale.batch)
    with ExitStack() as stack:
        flask = stack.enter_context(plain_server("flask", folder))
        bare = stack.enter_context(plain_server("bare", folder))
        own = [Exchange(json.dumps(asked[0].as_authzen()).encode(), *counts(answers)) for asked, answers in singles]
        plain = [Exchange(exchange.body, 1, 0) for exchange in own]
        in_batches = [Exchange(authzen_batch(asked), *counts(answers)) for asked, answers in batches]
        doors = {"klausel": (service, own), "plain Flask route": (flask, plain), "bare WSGI function": (bare, plain)}
        batch_doors = {"klausel": (service._replace(path=EVALUATIONS), in_batches)}
        if cerbos is not None:
            door = Door(cerbos.port, cerbos.log, PATH, ALLOW.decode(), DENY.decode())
            doors["Cerbos"] = (door, [Exchange(cerbos.body(asked), *counts(answers)) for asked, answers in singles])
            batch_doors["Cerbos"] = (door, [Exchange(cerbos.body(asked), *counts(answers)) for asked, answers in batches])
        for name, (door, exchanges) in [*doors.items(), *batch_doors.items()]:
            step(f"warming {name}")
            load(door, exchanges, scale.connections, scale.http_seconds / 3)
        shares: list[float] = []
        single = _compare("single checks", doors, scale, step, shares)
        batch = _compare(f"batches of {scale.batch}", batch_doors, scale, step, shares)
    section.comparisons += [single, batch]
    section.remarks.append(
        f"The load generator took {min(shares):.0%} to {max(shares):.0%} of one core, and checked every answer."
    )
    flask_ratio = single.ratio("plain Flask route")
    why = "Cerbos could not be had"
    section.targets += [
        at_least("HTTP, single: × Cerbos", single.ratio("Cerbos"), 2, why),
        at_least(f"HTTP, batches of {scale.batch}: × Cerbos", batch.ratio("Cerbos"), 5, why),
        at_least("HTTP, single: × a plain Flask JSON route", flask_ratio, 0.9),
    ]
    return section


def _compare(
    what: str, doors: dict[str, tuple[Door, list[Exchange]]], scale: Scale, step: Step, shares: list[float]
) -> Comparison:
    def contestant(door: Door, exchanges: list[Exchange]) -> Callable[[], float]:
        def measure() -> float:
            found = load(door, exchanges, scale.connections, scale.http_seconds)
            shares.append(found["share_of_a_core"])
            return float(found["per_second"])

        return measure

    rounds = {name: contestant(*door) for name, door in doors.items()}
    return Comparison(what, alternate(rounds, scale.http_rounds, lambda text: step(f"{what}: {text}")), "/s")


def load(door: Door, exchanges: list[Exchange], connections: int, seconds: float) -> dict[str, Any]:
    """What the load generator found in so many seconds; raises `WrongAnswers`."""
    requests = [(base64.b64encode(_request(door, one.body)).decode(), one.allows, one.denies) for one in exchanges]
    task = {
        "port": door.port,
        "connections": connections,
        "seconds": seconds,
        "allow": door.allow,
        "deny": door.deny,
        "requests": requests,
    }
    found: dict[str, Any] = asked(python("load_client"), task, seconds + 20, door.log)
    if found["wrong"]:
        raise WrongAnswers(f"{door.path}: {found['wrong']} wrong answers under load")
    return found


def _request(door: Door, body: bytes) -> bytes:
    head = f"POST {door.path} HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def counts(answers: Sequence[bool]) -> tuple[int, int]:
    """The allows and the denies."""
    return sum(answers), len(answers) - sum(answers)


def answered_batches(policy: PolicySet, questions: list[Question], size: int) -> list[tuple[list[Question], list[bool]]]:
    """Batches of questions with their answers."""
    contestant = compiled(policy)
    return [(batch, list(contestant.answers(batch))) for batch in make_batches(questions, size)]


def authzen_batch(batch: Sequence[Question]) -> bytes:
    """The body of AuthZEN evaluations: the subject once, and each action and resource."""
    items = [{name: value for name, value in one.as_authzen().items() if name != "subject"} for one in batch]
    return json.dumps({"subject": batch[0].as_authzen()["subject"], "evaluations": items}).encode()

"""One run from the setting up of the peers to the last part."""

from __future__ import annotations

import importlib.metadata
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.contestants import Contestant, compiled, floor, stock, whole_decision
from benchmarks.measuring import Section
from benchmarks.organisation import holdings, people
from benchmarks.peers import packages as peers
from benchmarks.peers.agreement import Agreement, agreement_of
from benchmarks.peers.cedar import cedar
from benchmarks.peers.cerbos import Cerbos, cerbos
from benchmarks.peers.node import node_casbin
from benchmarks.peers.translation import Untranslatable
from benchmarks.peers.vakt import vakt
from benchmarks.progress import Progress
from benchmarks.scale import Scale
from benchmarks.sections.changes import measure_changes, measure_explanation
from benchmarks.sections.http import Door, Service, klausel_server, measure_http
from benchmarks.sections.in_process import CEDAR, FLOOR, KLAUSEL, NODE, STOCK, VAKT, WHOLE, measure_in_process
from benchmarks.sections.models import measure_models
from benchmarks.sections.people import measure_people
from benchmarks.sections.rules import measure_rules
from benchmarks.workload import make_questions, shipped_policy
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.service.effective_roles_cache import EffectiveRolesCache
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database

SECTIONS = ("decision", "models", "rules", "people", "http", "explanation", "changes")
CERBOS = "Cerbos"
_PEOPLE = 1_000


class Difference(Exception):
    """A contestant decided otherwise than Klausel; nothing was measured."""


class Session:
    """What the parts of a run share; ended, with all child processes, when the block is left."""

    def __init__(self, scale: Scale, progress: Progress, stack: ExitStack) -> None:
        self._scale = scale
        self._progress = progress
        self._stack = stack
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="klausel-bench-")))
        self._policy = shipped_policy()
        self._held = holdings(self._policy.roles, _PEOPLE)
        self._questions = make_questions(self._policy, self._held, _PEOPLE, scale.questions)
        self._contestants: dict[str, Contestant] = {}
        self._asks_servers = False
        self._wanted: list[bool] = []
        self.agreements: list[Agreement] = []
        self.missing: dict[str, str] = {}
        self.versions: dict[str, str] = {}

    def set_up(self, sections: tuple[str, ...]) -> None:
        """Makes the contestants that the sections need; one that cannot be had is noted as missing."""
        self.versions = {name: importlib.metadata.version(name) for name in ("klausel", "pycasbin", "granian", "flask")}
        self._contestants[KLAUSEL] = compiled(self._policy)
        self._wanted = list(self._contestants[KLAUSEL].answers(self._questions))
        if "decision" in sections:
            self._contestants[WHOLE] = whole_decision(self._policy, self._effective_roles_cache().roles_in)
            self._contestants[STOCK] = stock(self._policy)
            self._contestants[FLOOR] = floor(self._policy)
            self._try(CEDAR, lambda: cedar(self._policy), lambda: peers.python_version("cedarpy"))
            self._try(VAKT, lambda: vakt(self._policy), lambda: peers.python_version("vakt"))
            self._try(
                NODE,
                lambda: self._stack.enter_context(node_casbin(self._policy)),
                lambda: peers.npm_version("casbin"),
            )
        self._asks_servers = "http" in sections
        if self._asks_servers:
            self._try(CERBOS, self._prove_cerbos, peers.cerbos_version)

    def compare_answers(self) -> None:
        """All contestants on the same questions; raises `Difference`."""
        contestants = {name: one for name, one in self._contestants.items() if name not in (KLAUSEL, FLOOR)}
        self._compare(contestants)
        if self._asks_servers:
            with self._servers() as (service, cerbos_server):
                self._compare({"klausel over HTTP": Service(service), **({CERBOS: cerbos_server} if cerbos_server else {})})

    def _compare(self, contestants: Mapping[str, Contestant]) -> None:
        for name, contestant in contestants.items():
            self._progress.step(name)
            self.note(agreement_of(name, contestant, self._questions, self._wanted, self._scale.stock_seconds))

    def note(self, agreement: Agreement) -> None:
        """Keeps the outcome of a comparison of answers; raises `Difference`."""
        self.agreements.append(agreement)
        if agreement.differences:
            raise Difference(str(agreement))

    def measure(self, section: str) -> Section:
        """One part by its name in `SECTIONS`."""
        scale, step, policy, questions = self._scale, self._progress.step, self._policy, self._questions
        if section == "decision":
            return measure_in_process(self._contestants, questions, scale, step)
        if section == "models":
            found, agreements = measure_models(scale, step)
            for agreement in agreements:
                self.note(agreement)
            return found
        if section == "rules":
            return measure_rules(policy, questions, scale, step)
        if section == "people":
            return measure_people(policy, self._folder, scale, step)
        if section == "http":
            with self._servers() as (service, cerbos_server):
                return measure_http(policy, service, questions, self._wanted, cerbos_server, self._folder, scale, step)
        if section == "explanation":
            resolved_roles = {
                f"user:{subject}": EffectiveRoles.of(policy.roles, held) for subject, held in self._held.items()
            }
            return measure_explanation(policy, questions, resolved_roles, scale, step)
        return measure_changes(policy, self._folder, scale, step)

    def _effective_roles_cache(self) -> EffectiveRolesCache:
        store = AssignmentStore(open_database(f"sqlite:///{self._folder}/decision.db"))
        self._stack.callback(store.close)
        store.import_rows(self._policy.roles, people(self._policy.roles, _PEOPLE))
        return EffectiveRolesCache(store, self._policy.roles)

    def _try(self, name: str, make: Callable[[], Any], version: Callable[[], str]) -> None:
        self._progress.step(f"setting up {name}")
        try:
            made = make()
        except peers.Missing as reason:
            self.missing[name] = str(reason)
        except Untranslatable as reason:
            self.missing[name] = f"its language cannot say exactly {reason}"
        else:
            if made is not None:
                self._contestants[name] = made
            self.versions[name] = version()

    def _prove_cerbos(self) -> None:
        """Sees that Cerbos is there and takes the policies."""
        with cerbos(self._policy, self._folder):
            pass

    @contextmanager
    def _servers(self) -> Iterator[tuple[Door, Cerbos | None]]:
        """Klausel's service and, where it can be had, Cerbos; both only run while they are asked."""
        with ExitStack() as stack:
            service = stack.enter_context(klausel_server(self._policy, self._folder, _PEOPLE))
            is_missing = CERBOS in self.missing
            yield service, None if is_missing else stack.enter_context(cerbos(self._policy, self._folder))


@contextmanager
def session(scale: Scale, progress: Progress) -> Iterator[Session]:
    """A session; ends whatever it started."""
    with ExitStack() as stack:
        yield Session(scale, progress, stack)


def run(scale: Scale, sections: tuple[str, ...]) -> report.Run:
    """Sets up, compares the answers, measures; raises `Difference` before or while measuring."""
    started = time.monotonic()
    progress = Progress(len(sections) + 2)
    try:
        with session(scale, progress) as current:
            progress.part("setting up the peers")
            current.set_up(sections)
            progress.done()
            progress.part("comparing the decisions")
            current.compare_answers()
            progress.done()
            found = []
            for section in sections:
                progress.part(section)
                found.append(current.measure(section))
                progress.done()
            agreements = [str(agreement) for agreement in current.agreements]
    finally:
        progress.close()
    seconds = time.monotonic() - started
    return report.Run(found, agreements, current.missing, current.versions, report.machine(), seconds)

"""The policy set in force, which changes while requests are answered: a new one is taken whole, or refused whole."""

from __future__ import annotations

import dataclasses
import logging
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from queue import SimpleQueue
from typing import Literal

from klausel.core.analysis.budget import MOST_STEPS
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.loading.cache import LoadCache
from klausel.core.loading.load import SourceFile
from klausel.core.policy.orphans import StoredRole
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.problem import Place, PolicyError, Problem
from klausel.service.effective_roles_cache import EffectiveRolesCache
from klausel.service.pipeline import LoadedPolicy, load_checked, problems_of_orphans
from klausel.storage.policy_files.folder import PolicyFiles
from klausel.storage.policy_files.source import PolicySource
from klausel.storage.sql.access import StorageError

Outcome = Literal["taken", "unchanged", "refused"]
OUTCOMES: tuple[Outcome, ...] = ("taken", "unchanged", "refused")
MOST_READINGS = 5
"""How often a refresh starts again because files changed under it, before it leaves them to the next one."""
SECONDS_PER_COUNT = 30.0
"""How old the number of orphaned role assignments may be that is told."""
LEAST_PAUSE_PER_COUNT = 50
"""How many times as long as counting took it is not counted again: where ten million are orphaned, it takes seconds."""
_TURN_SECONDS = 0.0005

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InForce:
    """What one request decides by: a policy set, and roles resolved under it. Immutable but for the cache inside."""

    policy: LoadedPolicy
    resolved_roles: EffectiveRolesCache

    def effective_roles_of(self, subject_key: str, moment: datetime) -> EffectiveRoles:
        """The effective roles of a subject (`user:ann`) at a moment, by the newest role assignments. Raises `StorageError`."""
        self.resolved_roles.refresh()
        return self.resolved_roles.effective_roles_of(subject_key, moment.timestamp())


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the files are not in force as they stand now, since when (Unix time), and with which problems, sorted.

    `files` are those that were judged, none where they could not be read.
    """

    problems: tuple[Problem, ...]
    since_unix_seconds: float
    files: tuple[SourceFile, ...] = ()


class LivePolicy:
    """Holds the policy set in force and refreshes it from its source; raises `PolicyError` when the first is refused.

    `in_force` is one reference: who reads it once has a set that never changes under it. `refusal` is None while the
    files are those in force. `reloads` counts the refreshes by outcome; finding the same refused files again is none.

    With `orphaned_in`, which finds the stored roles that count for nothing, a set that orphans some is refused, or only told
    in the log when it `takes_orphaning`.

    What `follow` finds changed is judged when it stays as it is for `settle_seconds`, for files that belong together may be
    changed one after the other; who asks for a refresh says that they are whole.
    """

    def __init__(
        self,
        source: PolicySource,
        make_resolved_roles: Callable[[RoleModel], EffectiveRolesCache],
        max_age_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        orphaned_in: Callable[[RoleModel], Iterable[StoredRole]] = lambda roles: (),
        takes_orphaning: bool = False,
        accepted_models: Collection[str] = (),
        most_steps: int = MOST_STEPS,
        settle_seconds: float = 0.0,
    ) -> None:
        self._source = source
        self.max_age_seconds = max_age_seconds
        self._clock = clock
        self._orphaned_in = orphaned_in
        self._takes_orphaning = takes_orphaning
        self._accepted_models = accepted_models
        self._most_steps = most_steps
        self._settle_seconds = settle_seconds
        self._hurry = threading.Event()
        self._is_asked_now = False
        from klausel.core.testing.gate import Gate  # who only asks does not wait for what proves

        self._cache = LoadCache()
        self._gate = Gate()
        self._listeners: list[Callable[[PolicySet], None]] = []
        self._lock = threading.Lock()
        self._is_asked_for = threading.Lock()
        self._wake = threading.Event()
        self._asked: SimpleQueue[None] = SimpleQueue()
        self._closed = False
        self._threads: list[threading.Thread] = []
        self.reloads: dict[Outcome, int] = dict.fromkeys(OUTCOMES, 0)
        self.refusal: Refusal | None = None
        self._counting_took = 0.0
        self._counted: tuple[float, RoleModel | None, tuple[StoredRole, ...]] = (0.0, None, ())
        self._counting = threading.Lock()
        self._refused: PolicyFiles | None = None
        began = clock()
        self._taken = source.read()
        loaded = load_checked(self._taken, self._cache, accepted_models, most_steps, self._gate)
        self._check_orphans(self._taken, loaded)
        self.in_force = InForce(loaded, make_resolved_roles(loaded.compiled.policy.roles))
        self._confirm(began)

    @property
    def is_too_old(self) -> bool:
        """Whether the files were last known to be those in force longer ago than `max_age_seconds`; False without one."""
        most = self.max_age_seconds
        return most is not None and self._clock() - self._confirmed_at > most

    @property
    def files(self) -> PolicyFiles:
        """The files that the policy set in force was read from."""
        return self._taken

    def orphaned(self) -> tuple[StoredRole, ...]:
        """The stored roles that count for nothing in force, as of the last `SECONDS_PER_COUNT` or so. Raises StorageError."""
        roles = self.in_force.policy.compiled.policy.roles
        counted_at, counted_for, found = self._counted
        if counted_for is not roles or self._is_old(counted_at):
            counted_at, found = self._clock(), tuple(self._orphaned_in(roles))
            self._counting_took = self._clock() - counted_at
            self._counted = (counted_at, roles, found)
        return found

    def orphaned_soon(self, seconds: float) -> tuple[StoredRole, ...] | None:
        """As `orphaned`; what was counted last, None without that, where it takes longer than so many seconds or fails."""
        counted_at, counted_for, found = self._counted
        roles = self.in_force.policy.compiled.policy.roles
        if counted_for is roles and not self._is_old(counted_at):
            return found
        if self._counting.acquire(blocking=False):

            def count() -> None:
                try:
                    with suppress(StorageError):
                        self.orphaned()
                finally:
                    self._counting.release()

            thread = threading.Thread(target=count, name="policies-orphaned", daemon=True)
            thread.start()
            thread.join(seconds)
        _, counted_for, found = self._counted
        return found if counted_for is roles else None

    def add_listener(self, listener: Callable[[PolicySet], None]) -> None:
        """Calls `listener` with each policy set that is taken from now on, once it is in force; it must not raise."""
        self._listeners.append(listener)

    def _is_old(self, counted_at: float) -> bool:
        return self._clock() - counted_at > max(SECONDS_PER_COUNT, LEAST_PAUSE_PER_COUNT * self._counting_took)

    def refresh(self) -> Outcome:
        """Reads the files and takes them when they changed and all is well; one at a time. Never raises."""
        self._hurry.set()
        with self._lock:
            self._hurry.clear()
            return self._guarded_refresh(settles=False)

    def _guarded_refresh(self, settles: bool) -> Outcome:
        try:
            return self._refresh(settles)
        except PolicyError as error:
            return self._refuse(None, error.problems)
        except Exception as error:
            _log.exception("policies could not be loaded")
            what = f"the policies could not be loaded: {type(error).__name__}"
            return self._refuse(None, [Problem(Place(self._source.shown_as, 1, 1), "unreadable-file", what, "see the log")])

    def refresh_unless_asked(self) -> Outcome | None:
        """As `refresh`; None where another caller of this waits for it, and then it is done soon.

        Loading may take seconds, and whoever waits is a thread that answers no questions meanwhile.
        """
        if not self._is_asked_for.acquire(blocking=False):
            self.refresh_soon()
            return None
        try:
            return self.refresh()
        finally:
            self._is_asked_for.release()

    def refresh_soon(self) -> None:
        """Makes the thread that follows the source refresh at once; may be called by a signal handler."""
        # Setting an event takes a lock, for which a handler that interrupts itself would wait for ever; this takes none.
        self._asked.put(None)

    def follow(self) -> None:
        """Starts to refresh whenever the source changes, in threads of its own, until `close`."""
        for does, name in ((self._follow, "policies"), (self._pass_on, "policies-asked")):
            thread = threading.Thread(target=does, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Ends the threads that `follow` started."""
        self._closed = True
        self.refresh_soon()
        for thread in self._threads:
            thread.join()

    def _follow(self) -> None:
        for _ in self._source.changes(self._wake):
            self._wake.clear()
            if self._closed:
                return
            settles, self._is_asked_now = not self._is_asked_now, False
            with self._lock:
                self._guarded_refresh(settles)

    def _pass_on(self) -> None:
        closed = False
        while not closed:
            self._asked.get()
            closed = self._closed
            self._is_asked_now = True
            self._hurry.set()
            self._wake.set()

    def _refresh(self, settles: bool) -> Outcome:
        for _ in range(MOST_READINGS):
            began = self._clock()
            found = self._source.read()
            if found == self._taken:
                return self._keep(found, began)
            if found == self._refused:
                return "refused"
            if settles and self._settle_seconds:
                if self._hurry.wait(self._settle_seconds):
                    # Somebody asks for a refresh, which comes next and does not wait.
                    self._hurry.clear()
                    return "unchanged"
                if self._source.read() != found:
                    continue
            loaded, problems = self._load(found)
            # Files may be changed one after the other: what is judged must still be what stands there.
            if self._source.read() == found:
                return self._refuse(found, problems) if loaded is None else self._take_unless_orphaning(found, loaded, began)
        what = "the files keep changing"
        return self._refuse(
            None, [Problem(Place(self._source.shown_as, 1, 1), "unreadable-file", what, "they are read again")]
        )

    def _load(self, found: PolicyFiles) -> tuple[LoadedPolicy | None, tuple[Problem, ...]]:
        usual = sys.getswitchinterval()
        # Loading keeps one processor busy; threads that answer requests need not wait long for their turn.
        sys.setswitchinterval(_TURN_SECONDS)
        try:
            earlier = self.in_force.policy.compiled
            return load_checked(found, self._cache, self._accepted_models, self._most_steps, self._gate, earlier), ()
        except PolicyError as error:
            return None, error.problems
        finally:
            sys.setswitchinterval(usual)

    def _keep(self, found: PolicyFiles, began: float) -> Outcome:
        """The files are those in force; their commit may be another."""
        self._confirm(began)
        self.reloads["unchanged"] += 1
        policy, commit = self.in_force.policy, found.find_commit()
        if commit != policy.commit:
            policy = dataclasses.replace(policy, commit=commit)
            self.in_force = InForce(policy, self.in_force.resolved_roles)
        if self.refusal is not None:
            self.refusal = self._refused = None
            _log.info("policies are again those in force: %s", policy.files_digest)
        return "unchanged"

    def _take_unless_orphaning(self, found: PolicyFiles, loaded: LoadedPolicy, began: float) -> Outcome:
        if loaded.compiled.policy.roles.stored_depths != self.in_force.policy.compiled.policy.roles.stored_depths:
            try:
                self._check_orphans(found, loaded)
            except PolicyError as error:
                # The assignments may be moved while the files stay, so these files are looked at again.
                return self._refuse(None, error.problems)
        return self._take(found, loaded, began)

    def _check_orphans(self, found: PolicyFiles, loaded: LoadedPolicy) -> None:
        """Raises `PolicyError` when a set orphans stored role assignments, or logs it when that is allowed."""
        problems = problems_of_orphans(found, loaded, self._orphaned_in)
        if problems and not self._takes_orphaning:
            raise PolicyError([*loaded.warnings, *problems])
        for problem in problems:
            _log.warning("%s", problem.message)

    def _take(self, found: PolicyFiles, loaded: LoadedPolicy, began: float) -> Outcome:
        before, roles = self.in_force, loaded.compiled.policy.roles
        same_roles = roles == before.policy.compiled.policy.roles
        self.in_force = InForce(loaded, before.resolved_roles if same_roles else before.resolved_roles.under(roles))
        self._taken = found
        self.refusal = self._refused = None
        self._confirm(began)
        self.reloads["taken"] += 1
        _log.info("policies taken: %d grants, %s", len(loaded.compiled.policy.grants), loaded.files_digest)
        for listener in self._listeners:
            listener(loaded.compiled.policy)
        return "taken"

    def _refuse(self, found: PolicyFiles | None, problems: Iterable[Problem]) -> Outcome:
        """Remembers why; `found` is None where another look may find something else."""
        sorted_problems = tuple(sorted(problems))
        self._refused = found
        if found is None and self.refusal is not None and self.refusal.problems == sorted_problems:
            return "refused"
        since = time.time() if self.refusal is None else self.refusal.since_unix_seconds
        self.refusal = Refusal(sorted_problems, since, () if found is None else found.files)
        self.reloads["refused"] += 1
        errors = [problem for problem in sorted_problems if problem.severity == "error"]
        more = f" (and {len(errors) - 1} more problems)" if len(errors) > 1 else ""
        _log.error("policies refused, the last good ones stay in force: %s%s", errors[0], more)
        return "refused"

    def _confirm(self, began: float) -> None:
        """Notes that the files were those in force when reading them began."""
        self._confirmed_at = began
        self.confirmed_unix_seconds = time.time()

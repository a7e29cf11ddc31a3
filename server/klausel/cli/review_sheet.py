"""The commands `review sheet`, `review apply` and `review verify`: access reviews that end in changed role assignments."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NoReturn

import click
from sqlalchemy import Connection, Engine

from klausel.cli.change_options import MOST_SHOWN, origin_here
from klausel.cli.checkpoint_options import explains_checkpoint_errors, signing_key
from klausel.cli.database_options import assignments_at, database_option
from klausel.cli.log_reading import Faults, blocks_to_read, sort_records
from klausel.cli.options import EXIT_PROBLEMS, fail, load_or_exit, model_option
from klausel.cli.output import say
from klausel.cli.policy_folder import policies_option_alone
from klausel.cli.progress import progress
from klausel.cli.review_files import MOST_ROWS, WRITERS, BadSheet, read_table
from klausel.cli.search import domain_named
from klausel.core.analysis.findings import FindingsSearch
from klausel.core.analysis.held_permissions import HeldPermissions
from klausel.core.policy.assignment import GROUP_PREFIX, Assignment
from klausel.core.policy.holding import Rows, gather_rows, rows_by_subject
from klausel.core.policy.keepers import holders_of
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.role_hints import hint_on_role
from klausel.core.policy.roles import RoleModel
from klausel.core.records.change_record import TEXT_CHARACTERS, Origin
from klausel.core.records.recorded import Recorded
from klausel.core.records.review_sheet import (
    COLUMNS,
    Decided,
    Fault,
    FilledRow,
    ReviewedRow,
    cells_of,
    digest_of,
    evidence_of,
    facts_in,
    judge,
    missing_numbers,
    parts_of_evidence,
    read_sheet,
    reason_for,
)
from klausel.core.replay.unused import LastUse
from klausel.core.terms.escaping import shown
from klausel.core.terms.moment import instant_text, moment_text
from klausel.storage.assignments.people_of_roles import people_holding
from klausel.storage.assignments.reviewed_rows import lineage_of, reason_and_hash, reviewed_rows, rows_to_review
from klausel.storage.assignments.store import ForbiddenState, InvalidAssignments
from klausel.storage.change_log.checkpoints import (
    Checkpoint,
    CheckpointError,
    append_checkpoint,
    checkpoint_in,
    read_public_key,
)
from klausel.storage.sql.database import reading
from klausel.storage.sql.revisions import revision_now

FOR_EACH = "{reviewer}"
NOBODY = "nobody"
_FILE = click.Path(path_type=Path, dir_okay=False)
_EXISTING = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.argument("out", type=_FILE)
@click.option("--in", "domain", metavar="DOMAIN", help="Only role assignments in this domain or below it, and its groups.")
@click.option("--role", help="Only assignments of this role.")
@click.option(
    "--reviewer-role",
    metavar="ROLE",
    help="Who reviews: a holder of this role in the place of the assignment, else in the one above it; never the person.",
)
@click.option(
    "--decisions", multiple=True, metavar="FILE", help="Decision log, for when each was last of use; repeatable, or .gz."
)
@policies_option_alone
@model_option
@database_option
def sheet(
    out: Path,
    domain: str | None,
    role: str | None,
    reviewer_role: str | None,
    decisions: tuple[str, ...],
    policies: Path,
    model: Path | None,
    database: str,
) -> None:
    """Write a row for each role assignment, for reviewers to fill in: OUT.csv, or OUT.xlsx with all other cells locked.

    Reviewers write keep or revoke in the column decision, and their name; `klausel review apply` reads that back. With
    {reviewer} in the name of OUT and --reviewer-role each reviewer gets a file.

    \b
    Examples:
      klausel review sheet review.xlsx --in acme
      klausel review sheet review.csv --decisions decisions.jsonl
      klausel review sheet 'review-{reviewer}.xlsx' --in acme --reviewer-role manager
    """
    write = WRITERS.get(out.suffix.lower())
    if write is None:
        raise click.UsageError(f"OUT must end with {' or '.join(WRITERS)}")
    if FOR_EACH in out.name and reviewer_role is None:
        raise click.UsageError(f"{FOR_EACH} in OUT needs --reviewer-role: who reviews?")
    loaded = load_or_exit(policies, model)
    policy = loaded.compiled.policy
    where = None if domain is None else domain_named(policy.roles, domain)
    for named in (role, reviewer_role):
        if named is not None and named not in policy.roles.roles:
            fail(f'unknown role "{named}"; {hint_on_role(named, policy.roles.roles)}')
    uses = _last_use(policy, decisions, database) if decisions else None
    with assignments_at(database) as store, ExitStack() as files:
        with reading(store.engine) as connection:
            lineage, revision = lineage_of(connection), revision_now(connection)
        now = store.clock()
        facts = {
            "written at": instant_text(now),
            "role assignments at revision": revision,
            "policies": loaded.files_digest,
            "in": where or "everywhere",
            "role": role or "every role",
            "last used by": ", ".join(decisions) or "no decision log was given",
        }
        search = FindingsSearch(policy.roles, now, 0, where, HeldPermissions(policy))
        reviewers = _Reviewers(store.engine, policy.roles, reviewer_role)
        drafts: dict[str, _Draft] = {}
        for row, rows, findings in _in_scope(store.engine, search, role, policy.roles):
            reviewer = reviewers.of(row.row)
            name = reviewer or NOBODY if FOR_EACH in out.name else ""
            draft = drafts.get(name)
            if draft is None:
                draft = drafts[name] = _Draft(files.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")))
            draft.add(cells_of(row, lineage, _used(uses, row.row, rows), findings, reviewer))
        if not drafts:
            fail("there is no such role assignment, so no sheet was written")
        for name, path in _file_names(out, drafts):
            if out.suffix.lower() == ".xlsx" and drafts[name].count > MOST_ROWS:
                fail(
                    f"{drafts[name].count:,} rows are more than a spreadsheet holds; choose with --in or --role, or write .csv"
                )
            try:
                write(path, facts, drafts[name].rows(), drafts[name].longest)
            except OSError as error:
                fail(f"{path} cannot be written: {error.strerror}; name another file, or give the writer access to it")
            say(f"{path}: {drafts[name].count:,} role assignments to review")


class _Draft:
    """The rows of one file, kept on disk until their number is known."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.count = 0
        self.longest = [0] * len(COLUMNS)
        """The characters of the longest text of each column."""

    def add(self, cells: Sequence[str]) -> None:
        self._file.write(json.dumps(cells) + "\n")
        self.count += 1
        self.longest = [max(characters, len(cell)) for characters, cell in zip(self.longest, cells, strict=True)]

    def rows(self) -> Iterator[list[str]]:
        self._file.seek(0)
        for number, line in enumerate(self._file, start=1):
            *cells, mark = json.loads(line)
            yield [*cells, f"{mark}-{number}/{self.count}"]


class _Reviewers:
    """Who reviews what: the first holder of a role at a place, or above it, who is not the person concerned."""

    def __init__(self, engine: Engine, roles: RoleModel, role: str | None) -> None:
        self._of_places: dict[str, list[str]] = {}
        if role is None:
            return
        holding = {stored for holder in holders_of(roles, role) for stored in roles.stored_names(holder)}
        for subject, pairs in people_holding(engine, holding):
            for domain in [domain for held, domain in pairs if held in holding and not subject.startswith(GROUP_PREFIX)]:
                self._of_places.setdefault(domain, []).append(subject)

    def of(self, row: Assignment) -> str:
        place = row.domain
        while place:
            for subject in self._of_places.get(place, ()):
                if subject != row.subject:
                    return subject
            place = place.rpartition("/")[0]
        return ""


def _in_scope(
    engine: Engine, search: FindingsSearch, role: str | None, roles: RoleModel
) -> Iterator[tuple[ReviewedRow, Rows, list[str]]]:
    names = None if role is None else set(roles.stored_names(role))
    with progress(reviewed_rows(engine), unit=" subjects") as subjects:
        for own, rows in subjects:
            chosen = [one for one in own if search.concerns(one.row, rows) and (names is None or one.row.role in names)]
            if chosen:
                found = list(search.of_subject([one.row for one in own], rows))
                for one in chosen:
                    about = [finding.message for finding in found if (finding.role, finding.domain or "") == one.row.key[1:]]
                    yield one, rows, about


def _last_use(policy: PolicySet, files: tuple[str, ...], database: str) -> LastUse:
    uses, faults = LastUse(policy), Faults()

    def count(record: Recorded, file: str, line: int) -> None:
        uses.count(record)

    for block in blocks_to_read(files, False, database):
        faults.join(sort_records(block, count, lambda number: None))
    faults.show()
    return uses


def _used(uses: LastUse | None, row: Assignment, rows: Rows) -> str:
    """When a row was last of use; of a membership, when any role that it leads to was. What a group holds is used by members."""
    if uses is None or row.subject.startswith(GROUP_PREFIX):
        return ""
    pairs = [row.key[1:]]
    if row.is_membership:
        of_groups = rows_by_subject(rows.others)
        reached = gather_rows(row.role, of_groups.get(row.role, ()), of_groups)
        pairs = [*reached.pairs, *(one.key[1:] for one in reached.others)]
    times = [uses.of_assignments.get((row.subject, *pair), "") for pair in pairs]
    return max(times, default="") or "never in this log"


def _file_names(out: Path, names: Collection[str]) -> Iterator[tuple[str, Path]]:
    """A file for each reviewer, by a name that is a good one everywhere, and another for each."""
    taken: set[str] = set()
    for name in sorted(names):
        safe = re.sub(r"[^A-Za-z0-9.@-]+", "_", name)
        while safe.lower() in taken:
            safe += "_"
        taken.add(safe.lower())
        yield name, out.with_name(out.name.replace(FOR_EACH, safe))


@click.command()
@click.argument("file", type=_EXISTING)
@click.option(
    "--key", "key_file", type=_EXISTING, help="Private key that signs the evidence, as `klausel audit key` makes it."
)
@click.option("--evidence", type=_FILE, help="Where the evidence goes.  [default: FILE.evidence.jsonl]")
@click.option("--by", help="Who applies the review, for the change log.  [default: its reviewers]")
@click.option("--ticket", help="Where the review is tracked, for the change log.")
@click.option("--dry-run", is_flag=True, help="Check FILE and tell what it would do; change nothing.")
@policies_option_alone
@model_option
@database_option
def apply(
    file: Path,
    key_file: Path | None,
    evidence: Path | None,
    by: str | None,
    ticket: str | None,
    dry_run: bool,
    policies: Path,
    model: Path | None,
    database: str,
) -> None:
    """Revoke what a sheet that was filled in says, in one write, and sign the evidence: all, or nothing when a row is broken.

    A row whose role assignment was changed since the sheet was written is refused. What nobody decided about stays, and is
    listed.

    \b
    Examples:
      klausel review apply review.xlsx --dry-run
      klausel review apply review.xlsx --key audit.key --ticket AUD-7
    """
    if key_file is None and not dry_run:
        raise click.UsageError("--key is needed: the evidence is signed; `klausel audit key FILE` makes one")
    place = evidence or file.with_name(f"{file.name}.evidence.jsonl")
    if place.exists() and not dry_run:
        fail(f"{place} exists already; evidence is never overwritten, so name another file with --evidence")
    with explains_checkpoint_errors():
        key = None if key_file is None else signing_key(key_file)
    loaded = load_or_exit(policies, model)
    content = file.read_bytes()
    try:
        rows, faults = read_sheet(read_table(content))
    except BadSheet as error:
        fail(f"{file}: {error}")
    review = _Review(file.name, content, rows, faults, loaded.files_digest, by, ticket)
    with assignments_at(database) as store:
        try:
            record = store.review(loaded.compiled.policy.roles, review.deciding(None if dry_run else place))
        except _Stopped as stopped:
            if stopped.faults:
                _refuse(file.name, stopped.faults)
            say(f"{review.summary()}; nothing was changed")
            _say_undecided(review)
            return
        except InvalidAssignments as error:
            place.unlink(missing_ok=True)
            _refuse(file.name, [Fault(review.line_of(fault.assignment.subject), fault.message) for fault in error.faults])
        except ForbiddenState as error:
            place.unlink(missing_ok=True)
            _refuse(
                file.name, [Fault(review.line_of(one.subject), f"{one.message} ({one.rule})") for one in error.violations]
            )
        except BaseException:
            if review.has_written:
                place.unlink(missing_ok=True)
            raise
    assert key is not None
    try:
        append_checkpoint(place, Checkpoint(record.number, record.hash, moment_text(record.microseconds)), key)
    except CheckpointError as error:
        fail(f"record {record.number} of the change log has the review, but its evidence was not signed: {error}")
    say(f"{review.summary()}; record {record.number} of the change log, signed in {place}")
    _say_undecided(review)


class _Stopped(Exception):
    """Nothing is to be written: there are faults, or it was a trial."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__()
        self.faults = faults


class _Review:
    """A sheet that came back, and what is decided by it."""

    def __init__(
        self,
        name: str,
        content: bytes,
        rows: list[FilledRow],
        faults: list[Fault],
        policy: str,
        by: str | None,
        ticket: str | None,
    ) -> None:
        self._name, self._digest, self._rows, self._faults = name, digest_of(content), rows, faults
        self._policy, self._by, self._ticket = policy, by, ticket
        self._decided: list[Decided] = []
        self.missing = missing_numbers(rows)
        self.has_written = False

    @property
    def undecided(self) -> list[Decided]:
        """What nobody decided about."""
        return [one for one in self._decided if one.decision is None]

    def line_of(self, subject: str | None) -> int:
        """The line that takes something from a subject."""
        return next((one.line for one in self._decided if one.decision == "revoke" and one.row.row.subject == subject), 0)

    def summary(self) -> str:
        """How many were decided how."""
        revoked, kept = (sum(one.decision == word for one in self._decided) for word in ("revoke", "keep"))
        return f"{revoked} revoked, {kept} kept, {len(self.undecided) + len(self.missing)} not decided"

    def deciding(self, place: Path | None) -> Callable[[Connection], tuple[list[Assignment], Origin]]:
        """What decides in the transaction that revokes, and writes the evidence to a place; None: it only tries."""

        def decide(connection: Connection) -> tuple[list[Assignment], Origin]:
            stored = rows_to_review(connection, {row.key[0] for row in self._rows})
            self._decided, faults = judge(self._rows, stored, lineage_of(connection))
            faults = sorted([*self._faults, *faults])
            if faults or place is None:
                raise _Stopped(faults)
            reviewers = sorted({one.reviewer for one in self._decided if one.decision and one.reviewer})
            try:
                origin = origin_here(self._by or _named(reviewers), None, self._ticket)
            except ValueError as error:
                raise _Stopped([Fault(0, str(error))]) from None
            facts: dict[str, object] = {
                "sheet": shown(self._name),
                "sheet_digest": self._digest,
                "policy": self._policy,
                "revision_before": revision_now(connection),
                "by": origin.by,
                "ticket": origin.ticket,
                "caller": origin.caller,
                "missing_rows": self.missing,
            }
            body = evidence_of(facts, self._decided)
            try:
                with place.open("xb") as out:
                    self.has_written = True
                    out.write(body)
            except OSError as error:
                raise _Stopped([Fault(0, f"{place} cannot be written: {error.strerror}")]) from None
            revoked = [one.row.row for one in self._decided if one.decision == "revoke"]
            return revoked, Origin(origin.by, reason_for(self._digest, body), origin.ticket, "cli", origin.caller)

        return decide


def _named(reviewers: list[str]) -> str | None:
    whole = ", ".join(reviewers)
    return (whole if len(whole) <= TEXT_CHARACTERS else f"{len(reviewers)} reviewers") or None


def _refuse(name: str, faults: Sequence[Fault]) -> NoReturn:
    for line, message in faults[:MOST_SHOWN]:
        say(f"{name}:{line}: error: {message}" if line else f"{name}: error: {message}", err=True)
    more = f"; these are the first {MOST_SHOWN} of {len(faults)} faults" if len(faults) > MOST_SHOWN else ""
    say(f"{name}: nothing was changed{more}", err=True)
    raise SystemExit(EXIT_PROBLEMS)


def _say_undecided(review: _Review) -> None:
    for one in review.undecided:
        say(f"not decided: {one.row.row} (line {one.line})")
    if review.missing:
        numbers = ", ".join(map(str, review.missing[:MOST_SHOWN]))
        say(f"not decided: {len(review.missing)} rows that are missing in the sheet, by their numbers {numbers}")


@click.command()
@click.argument("evidence", type=_EXISTING)
@click.option("--public-key", type=_EXISTING, required=True, help="Key that the evidence was signed with; its public half.")
@click.option("--sheet", "sheet_file", type=_EXISTING, help="The sheet that was applied, to be compared too.")
@database_option
def verify(evidence: Path, public_key: Path, sheet_file: Path | None, database: str) -> None:
    """Check that the EVIDENCE of a review is as it was signed, and that the change log holds its record.

    Whether that log is whole says `klausel audit verify`. Exit code 1 when anything is wrong.

    \b
    Example:
      klausel review verify review.xlsx.evidence.jsonl --public-key audit.key.pub --sheet review.xlsx
    """
    body, last = parts_of_evidence(evidence.read_bytes())
    facts = facts_in(body)
    if facts is None:
        fail(f"{evidence} is no evidence of a review; `klausel review apply` writes it")
    with explains_checkpoint_errors():
        signed = checkpoint_in(last, read_public_key(public_key))
    if signed is None:
        fail(f"{evidence}: the last line is not one that the holder of the key signed")
    with assignments_at(database) as store:
        found = reason_and_hash(store.engine, signed.number)
    if found is None or found[1] != signed.hash:
        fail(f"{evidence}: record {signed.number} of the change log is not the one that was signed")
    if found[0] != reason_for(str(facts.get("sheet_digest")), body):
        fail(f"{evidence}: it is not the evidence that record {signed.number} of the change log names; a line was changed")
    if sheet_file is not None and digest_of(sheet_file.read_bytes()) != facts["sheet_digest"]:
        fail(f"{sheet_file} is not the sheet that was applied")
    say(f"{evidence} is whole, and record {signed.number} of the change log names it")

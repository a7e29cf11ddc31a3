"""Tampering with the change log, by someone who may do anything to the database: all of it is found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from storage_people import ROLES, row

from klausel.core.records.change_record import BEFORE_THE_FIRST, ChangeRecord, Origin, RowsDigest, hash_of
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.change_log.checkpoints import (
    Checkpoint,
    CheckpointError,
    append_checkpoint,
    make_keys,
    read_checkpoints,
    read_private_key,
    read_public_key,
)
from klausel.storage.change_log.verification import missing_guards, verify_log
from klausel.storage.schema import open_database
from klausel.storage.sql.tables import guards_of

LOG, ROWS = "klausel_assignment_log", "klausel_assignment_log_row"
ORIGIN = Origin("cara", "moved", "HR-1", "http", "10.0.0.1", "r1")
MASKS = (0x01, 0x80)


@pytest.fixture
def written(store: AssignmentStore) -> AssignmentStore:
    """A store with the records 1 to 6 and without the guards of the database."""
    store.write(ROLES, [row("ann", "admin", "acme"), row("bo", "user", "acme")], [], ORIGIN)
    store.write(ROLES, [row("bo", "lead", "acme/s")], [], ORIGIN)
    store.import_rows(ROLES, [row("cy", "user", "acme"), row("cy", "agent", "acme/s")], None, ORIGIN)
    store.write(ROLES, [row("bo", "agent", "acme/s")], [row("bo", "lead", "acme/s")], ORIGIN)
    store.write(ROLES, [row("dé", "user", "acme")], [], ORIGIN)
    with store.engine.begin() as connection:
        for table in (LOG, ROWS):
            if connection.dialect.name == "sqlite":
                for verb in ("update", "delete", "replace"):
                    connection.execute(text(f"DROP TRIGGER {table}_no_{verb}"))
            else:
                connection.execute(text(f"DROP TRIGGER {table}_append_only ON {table}"))
    assert findings(store) == []
    return store


def findings(store: AssignmentStore, checkpoints: dict[int, str] | None = None) -> list[tuple[int | None, str]]:
    return [(found.number, found.kind) for found in verify_log(store.engine, checkpoints or {}).findings]


def tamper(store: AssignmentStore, *statements: str) -> None:
    with store.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def hashes(store: AssignmentStore) -> dict[int, str]:
    with store.engine.connect() as connection:
        return {found.number: found.hash for found in connection.execute(text(f"SELECT number, hash FROM {LOG}"))}


def shift(first: int, by: int) -> list[str]:
    """Renumbers the records from `first` on, with their rows, over numbers that nobody uses."""
    return [
        f"UPDATE {table} SET number = {change} WHERE number >= {least}"
        for change, least in ((f"number + {1000 + by}", first), ("number - 1000", 1000))
        for table in (LOG, ROWS)
    ]


class TestEveryKind:
    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("actor", "'dan'"), ("actor", "NULL"), ("actor", "''"), ("reason", "'moved '"), ("ticket", "NULL"),
            ("channel", "'cli'"), ("caller", "'10.0.0.2'"), ("request_id", "NULL"), ("revision", "'x'"),
            ("microseconds", "microseconds + 1"), ("kind", "'begins'"), ("hash", f"'{'0' * 64}'"), ("previous", "hash"),
        ],
    )  # fmt: skip
    def test_an_edited_record_is_named(self, written: AssignmentStore, column: str, value: str) -> None:
        tamper(written, f"UPDATE {LOG} SET {column} = {value} WHERE number = 4")
        assert (4, "edited") in findings(written)

    @pytest.mark.parametrize(("column", "value"), [("granted", 3), ("revoked", 1), ("rows_digest", "'x'")])
    def test_edited_counts_and_digests_are_named(self, written: AssignmentStore, column: str, value: object) -> None:
        tamper(written, f"UPDATE {LOG} SET {column} = {value} WHERE number = 4")
        assert {(4, "edited"), (4, "rows")} <= set(findings(written))

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE {} SET subject = 'user:eve' WHERE number = 3",
            "UPDATE {} SET role = 'manager' WHERE number = 3",
            "UPDATE {} SET domain = 'acme/t' WHERE number = 3",
            "UPDATE {} SET sign = -1 WHERE number = 3",
            "UPDATE {} SET position = 1 WHERE number = 3",
            "DELETE FROM {} WHERE number = 3",
            "INSERT INTO {} (number, position, sign, subject, role, domain) VALUES (3, 1, 1, 'user:eve', 'user', 'acme')",
            "INSERT INTO {} (number, position, sign, subject, role, domain) VALUES (3, 1, 0, 'user:eve', 'user', 'acme')",
        ],
    )
    def test_rows_edited_removed_or_added_are_named_with_their_record(
        self, written: AssignmentStore, statement: str
    ) -> None:
        tamper(written, statement.format(ROWS))
        assert (3, "rows") in findings(written)

    @pytest.mark.parametrize("number", [1, 2, 4])
    def test_a_record_removed_in_the_middle_is_named(self, written: AssignmentStore, number: int) -> None:
        tamper(written, f"DELETE FROM {LOG} WHERE number = {number}", f"DELETE FROM {ROWS} WHERE number = {number}")
        assert (number, "removed") in findings(written)

    def test_rows_without_a_record_are_named(self, written: AssignmentStore) -> None:
        tamper(written, f"DELETE FROM {LOG} WHERE number = 4")
        assert {(4, "removed"), (4, "rows")} <= set(findings(written))
        tamper(written, f"UPDATE {ROWS} SET number = 77 WHERE number = 4")
        assert (77, "rows") in findings(written)

    def test_a_record_removed_and_the_others_renumbered_is_found_at_its_place(self, written: AssignmentStore) -> None:
        tamper(written, f"DELETE FROM {LOG} WHERE number = 4", f"DELETE FROM {ROWS} WHERE number = 4", *shift(5, -1))
        assert (4, "moved") in findings(written)

    def test_a_record_removed_at_the_end_is_found_without_a_checkpoint(self, written: AssignmentStore) -> None:
        tamper(written, f"DELETE FROM {LOG} WHERE number = 6", f"DELETE FROM {ROWS} WHERE number = 6")
        assert (None, "tail") in findings(written)

    def test_an_empty_log_is_no_log(self, written: AssignmentStore) -> None:
        tamper(written, f"DELETE FROM {LOG}", f"DELETE FROM {ROWS}")
        assert (None, "tail") in findings(written)

    @pytest.mark.parametrize("has_good_hash", [True, False])
    def test_a_record_inserted_in_the_middle_is_found(self, written: AssignmentStore, has_good_hash: bool) -> None:
        tamper(written, *shift(4, 1))
        with written.engine.begin() as connection:
            made = stored_record(connection, 3)
            made = replace(made, number=4, previous=hashes(written)[3], granted=0, rows_digest=RowsDigest().hexdigest())
            put(connection, made, hash_of(made) if has_good_hash else "0" * 64)
        assert ({(5, "moved")} if has_good_hash else {(4, "edited"), (5, "moved")}) <= set(findings(written))

    def test_a_record_added_at_the_end_without_a_change_is_found(self, written: AssignmentStore) -> None:
        with written.engine.begin() as connection:
            made = replace(stored_record(connection, 6), number=7, previous=hashes(written)[6], revision="made-up")
            put(connection, replace(made, granted=0, rows_digest=RowsDigest().hexdigest()), None)
        assert (None, "tail") in findings(written)

    @pytest.mark.parametrize("with_rows", [True, False])
    def test_two_records_in_each_others_place_are_found(self, written: AssignmentStore, with_rows: bool) -> None:
        for table in (LOG, ROWS) if with_rows else (LOG,):
            for before, after in ((3, 1000), (4, 3), (1000, 4)):
                tamper(written, f"UPDATE {table} SET number = {after} WHERE number = {before}")
        assert {(3, "moved"), (4, "moved")} <= set(findings(written))

    def test_a_record_written_anew_with_a_good_hash_breaks_the_chain(self, written: AssignmentStore) -> None:
        with written.engine.begin() as connection:
            made = replace(stored_record(connection, 4), origin=replace(ORIGIN, by="dan"))
            connection.execute(text(f"DELETE FROM {LOG} WHERE number = 4"))
            put(connection, made, None)
        assert (5, "unlinked") in findings(written)


class TestTheTable:
    @pytest.mark.parametrize(
        ("statement", "number"),
        [
            ("INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', 'user:eve', 'admin', 'acme')", None),
            ("DELETE FROM casbin_rule WHERE v0 = 'user:cy' AND v1 = 'user'", 4),
            ("INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', 'user:bo', 'lead', 'acme/s')", 5),
        ],
    )
    def test_a_row_changed_behind_the_log_is_named(
        self, written: AssignmentStore, statement: str, number: int | None
    ) -> None:
        tamper(written, statement)
        counted, found = verify_log(written.engine, {}).findings
        assert (counted.number, counted.kind) == (None, "tail")
        assert (found.number, found.kind) == (number, "table")
        assert "behind the log" in found.message
        assert any(name in found.message for name in ("user:eve admin in acme", "user:cy user in acme", "user:bo lead in"))

    def test_an_edited_row_shows_as_one_missing_and_one_added(self, written: AssignmentStore) -> None:
        tamper(written, "UPDATE casbin_rule SET v1 = 'admin' WHERE v0 = 'user:cy' AND v1 = 'user'")
        assert [kind for _, kind in findings(written)] == ["tail", "table", "table"]

    def test_what_was_added_behind_the_log_can_be_revoked_and_granted_properly(self, written: AssignmentStore) -> None:
        stray = row("eve", "admin", "acme")
        tamper(written, "INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', 'user:eve', 'admin', 'acme')")
        written.write(ROLES, [], [stray])
        assert findings(written) == []
        written.write(ROLES, [stray], [])
        assert findings(written) == []

    def test_very_many_findings_are_counted_and_not_all_kept(self, written: AssignmentStore) -> None:
        written.import_rows(ROLES, [row(f"p{number}", "user", "acme") for number in range(300)])
        tamper(written, "DELETE FROM casbin_rule WHERE v0 LIKE 'user:p%'")
        verdict = verify_log(written.engine, {})
        assert (len(verdict.findings), verdict.found) == (100, 301)


class TestCheckpoints:
    def test_a_tail_written_anew_with_good_hashes_is_found_by_a_checkpoint_alone(self, written: AssignmentStore) -> None:
        signed = {number: hash_ for number, hash_ in hashes(written).items() if number in (3, 5)}
        with written.engine.begin() as connection:
            previous = hashes(written)[3]
            for number in (4, 5, 6):
                made = replace(stored_record(connection, number), previous=previous)
                made = replace(made, origin=replace(made.origin, by="dan")) if number == 4 else made
                connection.execute(text(f"DELETE FROM {LOG} WHERE number = {number}"))
                previous = put(connection, made, None)
        assert findings(written) == []
        assert findings(written, signed) == [(5, "checkpoint")]

    def test_a_tail_removed_with_all_its_traces_is_found_by_a_checkpoint_alone(self, written: AssignmentStore) -> None:
        signed = hashes(written)
        tamper(
            written,
            f"DELETE FROM {LOG} WHERE number = 6",
            f"DELETE FROM {ROWS} WHERE number = 6",
            "DELETE FROM casbin_rule WHERE v0 = 'user:dé'",
            "UPDATE klausel_state SET revision = revision - 2",
        )
        assert findings(written) == []
        assert findings(written, signed) == [(6, "tail")]

    def test_a_walk_from_a_checkpoint_on_finds_what_came_after(self, written: AssignmentStore) -> None:
        signed = {4: hashes(written)[4]}
        assert verify_log(written.engine, signed, first=4).findings == ()
        tamper(written, f"UPDATE {LOG} SET ticket = 'x' WHERE number = 5")
        assert [found.number for found in verify_log(written.engine, signed, first=4).findings] == [5]

    def test_every_single_byte_change_of_a_file_of_checkpoints_is_found(self, tmp_path: Path) -> None:
        file, public = made_checkpoints(tmp_path)
        good, faults = read_checkpoints(file, public)
        assert (len(good), faults) == (2, [])
        whole = file.read_bytes()
        for place in range(len(whole)):
            for mask in (*MASKS, 0x20):
                changed = bytearray(whole)
                changed[place] ^= mask
                file.write_bytes(changed)
                assert read_checkpoints(file, public)[1], (place, mask)
            file.write_bytes(whole[:place] + whole[place + 1 :])
            assert read_checkpoints(file, public)[1], place

    def test_checkpoints_of_another_key_are_not_believed(self, tmp_path: Path) -> None:
        file, _ = made_checkpoints(tmp_path)
        other = read_public_key(make_keys(tmp_path / "other"))
        good, faults = read_checkpoints(file, other)
        assert good == []
        assert len(faults) == 2

    def test_a_private_key_is_its_owners_alone_and_no_key_is_overwritten(self, tmp_path: Path) -> None:
        make_keys(tmp_path / "audit.key")
        assert (tmp_path / "audit.key").stat().st_mode & 0o777 == 0o600
        for name in ("audit.key", "audit.key.pub"):
            (tmp_path / name).unlink()
            with pytest.raises(CheckpointError, match="exists already"):
                make_keys(tmp_path / "audit.key")
            (tmp_path / name).touch()

    def test_a_file_that_is_no_key_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "notes").write_text("not a key")
        public = make_keys(tmp_path / "audit.key")
        for read, file in (
            (read_private_key, tmp_path / "notes"),
            (read_private_key, public),
            (read_private_key, tmp_path / "nowhere"),
            (read_public_key, tmp_path / "notes"),
            (read_public_key, tmp_path / "audit.key"),
        ):
            with pytest.raises(CheckpointError):
                read(file)


def made_checkpoints(folder: Path) -> tuple[Path, Any]:
    public = make_keys(folder / "audit.key")
    key = read_private_key(folder / "audit.key")
    file = folder / "checkpoints.jsonl"
    for number in (3, 17):
        append_checkpoint(file, Checkpoint(number, f"{number:064x}", "2026-03-01T12:00:00.000000Z"), key)
    return file, read_public_key(public)


class TestEveryByte:
    """Each byte of each stored value is changed, one at a time."""

    def test_in_the_records(self, written: AssignmentStore) -> None:
        assert flip_all(written, LOG, ("number",)) > 250

    def test_in_the_rows(self, written: AssignmentStore) -> None:
        assert flip_all(written, ROWS, ("number", "position")) > 50


@contextmanager
def hastily(store: AssignmentStore) -> Iterator[Connection]:
    """A transaction that does not wait for the disk."""
    is_sqlite = store.engine.dialect.name == "sqlite"
    with store.engine.connect() as connection:
        if is_sqlite:
            connection.connection.driver_connection.execute("PRAGMA synchronous = OFF")  # type: ignore[union-attr]
        with connection.begin():
            if not is_sqlite:
                connection.execute(text("SET LOCAL synchronous_commit TO off"))
            yield connection


def flip_all(store: AssignmentStore, table: str, key: tuple[str, ...]) -> int:
    """Makes every change of a byte in a table, asserts that each is found and undoes it; returns how many there were."""
    with store.engine.connect() as connection:
        rows = [row._asdict() for row in connection.execute(text(f"SELECT * FROM {table} WHERE number = 3"))]
    made = 0
    for found in rows:
        where = " AND ".join(f"{name} = :old_{name}" for name in key)
        old = {f"old_{name}": found[name] for name in key}
        for column, value in found.items():
            for changed in changed_values(store.engine.dialect.name, column, value):
                value_text = "CAST(:changed AS TEXT)" if isinstance(changed, bytes) else ":changed"
                try:
                    with hastily(store) as connection:
                        connection.execute(
                            text(f"UPDATE {table} SET {column} = {value_text} WHERE {where}"), {"changed": changed, **old}
                        )
                except IntegrityError:
                    continue  # The number of another record, or the position of another row.
                assert findings(store), (table, old, column, value, changed)
                restore(store, table, key, found, column, changed)
                made += 1
    assert findings(store) == []
    return made


def changed_values(dialect: str, column: str, value: object) -> Iterator[object]:
    if isinstance(value, int):
        for place in range(2 if column == "sign" else 8):
            for mask in MASKS:
                raw = bytearray(value.to_bytes(8, "big", signed=True))
                raw[7 - place] ^= mask
                size = 2 if column == "sign" else 8
                yield int.from_bytes(raw[-size:], "big", signed=True)
        return
    raw = str(value or "").encode()
    for place in range(len(raw)):
        for mask in MASKS:
            changed = bytearray(raw)
            changed[place] ^= mask
            if dialect == "sqlite":
                yield bytes(changed)
            elif mask == MASKS[0] and raw.isascii():
                yield changed.decode()  # PostgreSQL refuses text that is not UTF-8.


def restore(
    store: AssignmentStore, table: str, key: tuple[str, ...], found: dict[str, Any], column: str, changed: object
) -> None:
    place = {f"at_{name}": changed if name == column else found[name] for name in key}
    where = " AND ".join(f"{name} = :at_{name}" for name in key)
    with hastily(store) as connection:
        done = connection.execute(
            text(f"UPDATE {table} SET {column} = :value WHERE {where}"), {"value": found[column], **place}
        )
        assert done.rowcount == 1


def stored_record(connection: Connection, number: int) -> ChangeRecord:
    found = connection.execute(text(f"SELECT * FROM {LOG} WHERE number = {number}")).one()
    origin = Origin(found.actor, found.reason, found.ticket, found.channel, found.caller, found.request_id)
    return ChangeRecord(
        found.number, found.microseconds, found.kind, origin, found.granted, found.revoked,
        found.rows_digest, found.revision, found.previous,
    )  # fmt: skip


def put(connection: Connection, record: ChangeRecord, hash_: str | None) -> str:
    """Writes a record as a forger would; returns its hash, which is the right one unless another is given."""
    origin = record.origin
    values = {
        "number": record.number, "microseconds": record.microseconds, "kind": record.kind, "actor": origin.by,
        "reason": origin.reason, "ticket": origin.ticket, "channel": origin.channel, "caller": origin.caller,
        "request_id": origin.request_id, "granted": record.granted, "revoked": record.revoked,
        "rows_digest": record.rows_digest, "revision": record.revision, "previous": record.previous,
        "hash": hash_ or hash_of(record),
    }  # fmt: skip
    marks = ", ".join(f":{name}" for name in values)
    connection.execute(text(f"INSERT INTO {LOG} ({', '.join(values)}) VALUES ({marks})"), values)
    return str(values["hash"])


def test_the_first_record_follows_nothing(store: AssignmentStore) -> None:
    with store.engine.connect() as connection:
        assert stored_record(connection, 1).previous == BEFORE_THE_FIRST


def test_the_hash_of_a_record_is_told_by_plain_json(written: AssignmentStore) -> None:
    import hashlib
    import json

    def digest(value: object) -> str:
        return hashlib.sha256(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()

    with written.engine.connect() as connection:
        for found in connection.execute(text(f"SELECT * FROM {LOG}")).all():
            query = text(f"SELECT sign, subject, role, domain FROM {ROWS} WHERE number = :number ORDER BY position")
            rows = [list(row) for row in connection.execute(query, {"number": found.number})]
            assert digest(rows) == found.rows_digest
            assert digest(["klausel assignment log 1", *found[:-1]]) == found.hash


class TestGuards:
    def test_a_new_log_is_guarded(self, store: AssignmentStore) -> None:
        assert missing_guards(store.engine) == []

    def test_triggers_that_are_gone_are_found(self, written: AssignmentStore) -> None:
        assert [finding.message.split()[0] for finding in missing_guards(written.engine)] == [LOG, ROWS]

    def test_what_a_finding_says_puts_them_back(self, written: AssignmentStore) -> None:
        for finding in missing_guards(written.engine):
            with written.engine.begin() as connection:
                for statement in guards_of(finding.message.split()[0])[connection.dialect.name]:
                    assert statement in finding.message
                    connection.exec_driver_sql(statement)
        assert missing_guards(written.engine) == []

    @pytest.mark.parametrize("table", [LOG, ROWS])
    def test_what_stands_in_the_log_cannot_be_replaced(self, sqlite_url: str, table: str) -> None:
        store = AssignmentStore(open_database(sqlite_url))
        store.write(ROLES, [row("ann", "admin", "acme")], [], ORIGIN)
        statement = f"INSERT OR REPLACE INTO {table} SELECT * FROM {table} WHERE number = 2"
        with pytest.raises(IntegrityError, match="append-only"):
            tamper(store, statement)
        assert findings(store) == []
        store.close()

    def test_a_trigger_that_does_nothing_does_not_count(self, store: AssignmentStore) -> None:
        if store.engine.dialect.name == "sqlite":
            tamper(
                store,
                f"DROP TRIGGER {LOG}_no_update",
                f"CREATE TRIGGER {LOG}_no_update BEFORE update ON {LOG} BEGIN SELECT 1; END",
            )
            assert len(missing_guards(store.engine)) == 1
        else:
            tamper(store, f"ALTER TABLE {ROWS} DISABLE TRIGGER {ROWS}_append_only")
            assert len(missing_guards(store.engine)) == 1
            tamper(
                store,
                "CREATE OR REPLACE FUNCTION klausel_assignment_log_refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RETURN NULL; END $$",
            )
            assert len(missing_guards(store.engine)) == 3

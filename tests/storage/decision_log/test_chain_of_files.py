"""What is written to a decision log in files is numbered and sealed, and whatever is done to it behind that is found."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from decision_logs import head_of

from klausel.core.decisions.decide import Decision
from klausel.core.records.batch_record import Noted
from klausel.core.records.decision_chain import ChainFault, ChainOfFile, join_files
from klausel.core.records.recorded import Recorded
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.storage.decision_log.files import blocks_of, records_in
from klausel.storage.decision_log.queue import DecisionLog
from klausel.storage.decision_log.sinks import FileSink, open_sink

WRITERS = 2
WRITES_EACH = 60


def sink(path: Path, max_bytes: int = 1_000_000) -> FileSink:
    made = open_sink(str(path), "", max_bytes, 0)
    assert isinstance(made, FileSink)
    return made


def record(name: object) -> bytes:
    return json.dumps({"time": "2026-03-01T12:00:00.000000Z", "name": name}, separators=(",", ":")).encode() + b"\n"


def faults(*files: Path, signed: dict[str, int] | None = None, is_whole: bool = True) -> list[ChainFault]:
    found: list[ChainFault] = []
    chains = [ChainOfFile(str(file), signed or {}) for file in files]
    for chain, file in zip(chains, files, strict=True):
        for number, line in enumerate(file.read_bytes().splitlines(True), 1):
            found += chain.look_at(number, line)
        found += chain.end()
    return [*found, *join_files(chains, signed or {}, is_whole)]


def kinds(*files: Path) -> set[str]:
    return {fault.kind for fault in faults(*files)}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three writes of three records each."""
    path = tmp_path / "log.jsonl"
    out = sink(path)
    for write in range(3):
        out.write([record(f"{write}-{one}") for one in range(3)])
    out.close()
    return path


def test_records_are_numbered_and_each_write_is_sealed(log: Path) -> None:
    found = [json.loads(line) for line in log.read_bytes().splitlines()]
    assert [one["number"] for one in found] == list(range(1, 10))
    assert [one["number"] for one in found if "sealed" in one] == [3, 6, 9]
    assert found[5]["sealed"]["previous"] == found[2]["sealed"]["hash"]
    assert faults(log) == []


def test_the_hash_of_a_seal_can_be_made_by_hand(log: Path) -> None:
    lines = log.read_bytes().splitlines(True)
    hashed = b"".join(lines[3:6])
    hash_ = json.loads(lines[5])["sealed"]["hash"]
    assert sha256(hashed[: hashed.rindex(hash_.encode())]).hexdigest() == hash_


def test_a_write_of_very_many_long_lines_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    names = ["x" * (number * 37 % 9000) + str(number) for number in range(1300)]
    out = sink(path, 100_000_000)
    for start in (0, 5):
        out.write([record(name) for name in names[start:]])
    out.close()
    found = [json.loads(line)["name"] for line in path.read_bytes().splitlines()]
    assert found == names + names[5:]
    assert faults(path) == []


def _edit_line(number: int) -> Callable[[list[bytes]], list[bytes]]:
    def edited(lines: list[bytes]) -> list[bytes]:
        return [line.replace(b'"name":"', b'"name":"x') if at == number else line for at, line in enumerate(lines)]

    return edited


@pytest.mark.parametrize(
    ("change", "kind", "place"),
    [
        (_edit_line(0), "edited", 1),
        (_edit_line(4), "edited", 5),
        (_edit_line(5), "edited", 6),
        (lambda lines: [*lines[:4], *lines[5:]], "removed", 5),
        (lambda lines: [*lines[:3], *lines[6:]], "removed", 6),
        (lambda lines: lines[3:], "missing", None),
        (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], "moved", 5),
        (lambda lines: [*lines[:3], *lines[6:9], *lines[3:6]], "moved", 9),
        (lambda lines: [*lines[:4], record("false"), *lines[4:]], "inserted", 5),
        (lambda lines: [*lines[:4], lines[3], *lines[4:]], "unsealed", 4),
        (lambda lines: [*lines, record("false")], "unsealed", 10),
        (lambda lines: [*lines[:5], *lines[6:]], "unsealed", 4),
        (lambda lines: lines[:8], "unsealed", 7),
        (lambda lines: [record("false"), *lines], "unchained", None),
        (lambda lines: [line.replace(b'"chain":"', b'"chain":"0') for line in lines], "edited", 3),
    ],
)
def test_what_was_done_to_a_log_is_named_with_its_line(
    log: Path, change: Callable[[list[bytes]], Sequence[bytes]], kind: str, place: int | None
) -> None:
    log.write_bytes(b"".join(change(log.read_bytes().splitlines(True))))
    found = [(fault.kind, fault.place) for fault in faults(log)]
    assert (kind, str(log) if place is None else f"{log}:{place}") in found


def test_every_byte_counts(log: Path) -> None:
    data = log.read_bytes()
    for at in range(len(data)):
        log.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert faults(log), data[max(at - 20, 0) : at + 1]


def _write(path: Path, writer: int) -> None:
    out = sink(path, 20_000)
    for number in range(WRITES_EACH):
        out.write([record(f"{writer}-{number}-{one}") for one in range(5)])
    out.close()


def test_several_processes_write_one_chain_through_all_files(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "log.jsonl"
    workers = [context.Process(target=_write, args=(path, writer)) for writer in range(WRITERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    files = [path, *sorted(tmp_path.glob("log.jsonl.*"))]
    assert len(files) > 3
    assert faults(*files) == []
    numbers = sorted(json.loads(line)["number"] for file in files for line in file.read_bytes().splitlines())
    assert numbers == list(range(1, WRITERS * WRITES_EACH * 5 + 1))
    assert "missing" in kinds(*files[:2], *files[3:])
    assert kinds(*(file for file in files if file.name != "log.jsonl.000001")) == {"missing"}


def test_a_process_that_starts_goes_on_behind_the_last_seal(log: Path) -> None:
    out = sink(log)
    out.write([record("later")])
    out.close()
    assert faults(log) == []
    assert json.loads(log.read_bytes().splitlines()[-1])["number"] == 10


def test_the_chain_goes_on_behind_a_file_that_was_moved_away(log: Path) -> None:
    out = sink(log)
    out.write([record("here")])
    other = sink(log)
    other.write([record("of another process")])
    moved = log.rename(log.with_name("moved"))
    out.write([record("in a new file")])
    other.write([record("too")])
    out.close()
    other.close()
    assert faults(moved, log) == []
    assert kinds(log) == {"missing"}
    assert faults(log, is_whole=False) == []


def test_a_process_that_is_first_in_a_new_file_goes_on_behind_what_others_filled_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    slow, quick = sink(path, 500), sink(path, 500)
    slow.write([record("slow")])
    for number in range(5):
        quick.write([record(number)])
    # The quick one is about to begin the next file, and the slow one comes in between.
    path.rename(tmp_path / f"log.jsonl.{len(list(tmp_path.iterdir())):06d}")
    slow.write([record("slow again")])
    quick.write([record("quick again")])
    slow.close()
    quick.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) > 3
    assert faults(*files) == []


def test_a_new_file_that_others_fill_before_it_is_locked_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.jsonl"
    one = sink(path, 100)
    one.write([record("first")])
    open_ = one._open

    def filled_meanwhile() -> int:
        fresh = open_()
        monkeypatch.undo()
        other = sink(path, 100)
        for number in range(2):
            other.write([record(f"other {number}")])
        other.close()
        return fresh

    monkeypatch.setattr(one, "_open", filled_meanwhile)
    one.write([record("second")])
    one.write([record("third")])
    one.close()
    files = [*sorted(tmp_path.glob("log.jsonl.*")), path]
    found = [json.loads(line)["name"] for file in files for line in file.read_bytes().splitlines()]
    assert found == ["first", "other 0", "other 1", "second", "third"]
    assert faults(*files) == []


def test_what_a_killed_process_left_is_sealed_by_the_next(log: Path) -> None:
    with log.open("ab") as file:
        file.write(record("whole")[:-2] + b',"number":10}\n' + record("half")[:20])
    out = sink(log)
    out.write([record("next")])
    out.close()
    assert faults(log) == []
    assert json.loads(log.read_bytes().splitlines()[-1])["number"] == 11
    log.write_bytes(log.read_bytes().replace(b'"whole"', b'"other"'))
    assert kinds(log) == {"edited"}


def test_records_that_are_cut_off_while_a_process_writes_are_missed(log: Path) -> None:
    out = sink(log)
    out.write([record("one")])
    lines = log.read_bytes().splitlines(True)
    log.write_bytes(b"".join(lines[:6]))
    out.write([record("two")])
    out.close()
    assert [fault.message for fault in faults(log)] == ["records 7 to 10 are missing before this line"]


def test_a_log_of_an_older_version_is_continued_and_its_lines_are_named_as_without_a_chain(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(record("old") * 4)
    assert kinds(path) == {"unchained"}
    out = sink(path)
    out.write([record("new")])
    out.close()
    (fault,) = faults(path)
    assert (fault.kind, fault.message.split()[0]) == ("unchained", "4")


def test_the_end_that_was_cut_off_is_found_by_what_was_signed(log: Path) -> None:
    lines = log.read_bytes().splitlines(True)
    signed = {json.loads(lines[-1])["sealed"]["hash"]: 9}
    assert faults(log, signed=signed) == []
    log.write_bytes(b"".join(lines[:6]))
    assert faults(log) == []
    assert [fault.kind for fault in faults(log, signed=signed)] == ["checkpoint"]


def test_reading_passes_over_numbers_and_seals(log: Path) -> None:
    (block,) = blocks_of([str(log)])
    assert len(list(records_in(block))) == 9


def test_a_log_of_before_batches_were_tables_verifies_reads_and_goes_on_with_tables(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    shutil.copy(Path(__file__).with_name("log_of_before_tables.jsonl"), path)
    assert faults(path) == []
    log = DecisionLog(sink(path), strict=True)
    asked = [Request(Subject("user", "ann"), Action("view"), Resource("doc", name)) for name in ("d7", "d8")]
    noted: list[Noted] = [(index, one, Decision(True, None, "acme"), None, 1000) for index, one in enumerate(asked)]
    log.record(log.lines_of_batch(head_of(log, "evaluations", "new"), noted))
    log.close()
    assert faults(path) == []
    found = [one for block in blocks_of([str(path)]) for _, one in records_in(block)]
    told = [(one.request_id, one.request.resource.id) for one in found if isinstance(one, Recorded) and one.request]
    old = [("evaluation-1", "d0"), *(("evaluations-3", f"d{n}") for n in range(3)), ("evaluations-2", "d0")]
    assert told == [*old, ("evaluations-2", "d1"), ("new", "d7"), ("new", "d8")]
    assert len(path.read_bytes().splitlines()) == 7

"""Decisions that were asked one at a time share a line of a file where many come, and none loses anything by that."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from time import time_ns

import pytest
from click.testing import CliRunner
from decision_logs import Json, KeptLines, one_by_one

from klausel.cli.main import main
from klausel.core.decisions.decide import Decision
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.records.decision_chain import ChainFault, ChainOfFile, join_files
from klausel.core.records.recorded import BadRecord
from klausel.core.records.single_record import Single
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.storage.decision_log.files import Block, uses_in, values_of
from klausel.storage.decision_log.queue import FEWEST_IN_A_TABLE, DecisionLog
from klausel.storage.decision_log.sinks import FileSink, open_sink

HELD = (("lead", "acme/support"), ("user", "acme"), ("user", "other"))
ALLOW, DENY = Decision(True, None, "acme/support"), Decision(False, None, None)
POLICY = b'{"digest":"sha256:0"}'


def single(number: int, caller: str = "::1", request_id: str | None = None, **request: object) -> Single:
    asked = Request(Subject("user", f"u{number}"), Action("view"), Resource("doc", f"d{number}"))._replace(**request)
    roles = EffectiveRoles(HELD, {})
    noted = (None, asked, ALLOW if number % 3 else DENY, roles if number % 2 else None, number * 1000)
    return (noted, time_ns(), request_id or f"r{number}", "evaluation", caller, POLICY, "a-1", None)


def write(path: Path, singles: list[Single], makes_tables: bool = True) -> None:
    sink = open_sink(str(path), "", 10_000_000, 0)
    assert isinstance(sink, FileSink)
    log = DecisionLog(sink, makes_tables=makes_tables)
    for one in singles:
        log.record_single(one)
    log.close()
    assert (log.counts().written, log.counts().waiting) == (len(singles), 0)


def lines_in(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(True)


def records_in(path: Path) -> list[Json]:
    found = []
    for line in lines_in(path):
        for value in values_of(line[:-1]):
            assert not isinstance(value, BadRecord), (value, line)
            found.append({name: told for name, told in value.items() if name not in ("number", "sealed")})
    return found


def in_order(records: list[Json]) -> list[Json]:
    return sorted(records, key=lambda one: int(one["request_id"][1:]))


def numbers_in(path: Path) -> list[int]:
    return [value["number"] for line in lines_in(path) for value in values_of(line[:-1]) if not isinstance(value, BadRecord)]


def faults(path: Path) -> list[ChainFault]:
    chain = ChainOfFile("log", {})
    found = [fault for place, line in enumerate(lines_in(path), 1) for fault in chain.look_at(place, line)]
    return [*found, *chain.end(), *join_files([chain], {}, True)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Two tables: records 1 to 20, and 21 to 40."""
    path = tmp_path / "log.jsonl"
    for start in (1, 21):
        write(path, [single(number) for number in range(start, start + 20)])
    assert len(lines_in(path)) == 2
    return path


def test_a_table_reads_back_as_a_line_for_each_does(tmp_path: Path) -> None:
    chance = Random(3)
    usual: list[object] = [{}, {"size": 1}, {"tags": ["ä", None, 1.5], "n": -(2**62)}]
    some = [*usual * 10, {"long": 10**30}, {"note": "x" * 9000}]
    for part in range(8):
        singles = []
        for number in range(40):
            request = {
                "subject": Subject("user", f"u{chance.randrange(5)}", chance.choice(some)),  # type: ignore[arg-type]
                "action": Action(chance.choice(["view", "edit"]), chance.choice([*[{}] * 8, {"how": "fast"}])),
                "resource": Resource("doc", "ö", chance.choice(some)),  # type: ignore[arg-type]
                "context": chance.choice(some),
            }
            noted, *rest = single(number, chance.choice(["::1", "caller:web"]), **request)
            if chance.random() < 0.1:
                noted = (None, None, Decision(False, None, None, "no question"), None, 0)
            more = chance.choice([None, None, {"id": f"i{number}"}, {"now": "2026-03-01T12:00:00Z"}])
            singles.append((noted, *rest[:-1], more))
        tables, alone = tmp_path / f"tables{part}", tmp_path / f"alone{part}"
        write(tables, singles)
        write(alone, singles, makes_tables=False)
        assert len(lines_in(alone)) == len(singles) > len(lines_in(tables))

        assert in_order(records_in(tables)) == in_order(records_in(alone))
        by_the_manual = [one for line in lines_in(tables) for one in one_by_one(json.loads(line))]
        for one in by_the_manual:
            one.pop("number", None)
            one.pop("sealed", None)
        assert in_order(by_the_manual) == in_order(records_in(alone))
        assert faults(tables) == faults(alone) == []


def test_callers_and_request_ids_stay_with_their_row(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, [single(number, f"caller:{number % 2}", f"q-{number}") for number in range(40)])
    assert len(lines_in(path)) == 2
    assert {(one["request_id"], one["caller"]) for one in records_in(path)} == {
        (f"q-{n}", f"caller:{n % 2}") for n in range(40)
    }


def test_an_id_of_the_logs_own_is_given_where_none_was_sent(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, [(*single(number)[:2], None, *single(number)[3:]) for number in range(40)])
    assert len({one["request_id"] for one in records_in(path)}) == 40


@pytest.mark.parametrize("number", [1, FEWEST_IN_A_TABLE - 1])
def test_a_few_have_a_line_each(tmp_path: Path, number: int) -> None:
    path = tmp_path / "log.jsonl"
    write(path, [single(one) for one in range(number)])
    found = [json.loads(line) for line in lines_in(path)]
    assert [one["subject"]["id"] for one in found] == [f"u{one}" for one in range(number)]


def test_a_strict_log_and_one_with_masks_has_a_line_for_each() -> None:
    for options in ({"strict": True}, {"masks": ["/resource/id"]}, {"sample_rate": 0.5}):
        kept = KeptLines()
        log = DecisionLog(kept, makes_tables=True, **options)  # type: ignore[arg-type]
        for number in range(30):
            log.record_single(single(number))
        log.close()
        assert len(kept.lines) == 30
        assert ("masked" in kept.records[0]) == ("masks" in options)


def test_each_row_has_a_number_of_its_own(log: Path) -> None:
    assert faults(log) == []
    assert numbers_in(log) == list(range(1, 41))
    write(log, [single(41), single(42)])
    assert numbers_in(log) == list(range(1, 43))


def _rows(line: bytes) -> list[bytes]:
    return re.findall(rb'\[\d+,"[^"]+Z",.*?(?:null|\})\](?=[,\]])', line[line.index(b'"decisions":[') :])


def _edited(line: bytes) -> bytes:
    return line.replace(b'"u5"', b'"u6"')


def _removed(line: bytes) -> bytes:
    return line.replace(_rows(line)[4] + b",", b"")


def _swapped(line: bytes) -> bytes:
    fourth, fifth = _rows(line)[3:5]
    return line.replace(fourth + b"," + fifth, fifth + b"," + fourth)


def _later(line: bytes) -> bytes:
    row = _rows(line)[4]
    return line.replace(row, re.sub(rb'"20\d\d-', b'"2030-', row, count=1))


def _doubled(line: bytes) -> bytes:
    row = _rows(line)[4]
    return line.replace(row, row + b"," + row.replace(b'"u5"', b'"eve"'))


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (_edited, "edited", "record 5 is not as it was written"),
        (_later, "edited", "record 5 is not as it was written"),
        (_removed, "removed", "record 5 is missing in this line"),
        (_swapped, "moved", "is in another place among records 1 to 20"),
        (_doubled, "inserted", "1 more among records 1 to 20 than were written here"),
        (
            lambda line: line.replace(b'"::1"', b'"::2"'),
            "edited",
            "what records 1 to 20 have in common is not as it was written",
        ),
        (
            lambda line: line.replace(b'"decision":false', b'"decision":true'),
            "edited",
            "what records 1 to 20 have in common",
        ),
        (
            lambda line: line.replace(b'"decisions":[', b'"decisions":{'),
            "edited",
            "records 1 to 20 are not as they were written",
        ),
    ],
)
@pytest.mark.parametrize("is_sealed_line", [True, False])
def test_what_was_done_inside_a_table_is_named_by_the_number_of_the_record(
    tmp_path: Path, change: Callable[[bytes], bytes], kind: str, message: str, is_sealed_line: bool
) -> None:
    path = tmp_path / "log.jsonl"
    write(path, [single(number) for number in range(1, 21)] + ([] if is_sealed_line else [single(21, "other")]))
    first, *rest = lines_in(path)
    assert change(first) != first
    path.write_bytes(b"".join([change(first), *rest]))
    (fault,) = faults(path)
    assert (fault.place, fault.kind) == ("log:1", kind)
    assert message in fault.message


def test_a_table_that_was_removed_is_named_by_the_numbers_of_its_records(log: Path) -> None:
    write(log, [single(41)])
    lines = lines_in(log)
    log.write_bytes(lines[0] + lines[2])
    assert [fault.message for fault in faults(log)] == ["records 21 to 40 are missing before this line"]


def test_every_byte_of_a_table_counts(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, [single(number) for number in range(FEWEST_IN_A_TABLE)])
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert faults(path), data[max(at - 20, 0) : at + 1]


def test_half_a_table_of_a_killed_process_is_sealed_by_the_next(log: Path) -> None:
    whole, (_, last) = log.read_bytes(), lines_in(log)
    for cut in (1, len(last) // 2, len(last) - 3):
        log.write_bytes(whole[: len(whole) - len(last) + cut])
        assert {fault.kind for fault in faults(log)} == {"unsealed"}
        write(log, [single(number) for number in range(21, 41)])
        assert faults(log) == []
        assert numbers_in(log) == list(range(1, 41))


def test_a_log_of_an_older_version_goes_on_with_tables(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    shutil.copy(Path(__file__).with_name("log_of_before_tables.jsonl"), path)
    old = records_in(path)
    write(path, [single(number) for number in range(30)])
    assert faults(path) == []
    found = records_in(path)
    assert found[: len(old)] == old
    assert len(found) == len(old) + 30


def test_a_period_takes_its_part_of_a_table(log: Path) -> None:
    times = [one["time"] for one in records_in(log)]
    assert times == sorted(times)
    for since in (times[0], times[7], times[-1]):
        found = [time for _, time, _ in uses_in(Block("log", 1, log.read_bytes()), since)]
        assert found == [time for time in times if time >= since]


def test_the_commands_find_a_row_and_name_its_place(log: Path) -> None:
    run = CliRunner()
    found = run.invoke(main, ["decisions", "find", str(log), "--request-id", "r25", "--format", "json"]).stdout
    told = json.loads(found)
    assert (told["place"], told["subject"]["id"], told["number"]) == (f"{log}:2:5", "u25", 25)
    assert "40 records, 1 file" in run.invoke(main, ["decisions", "verify", str(log)]).stdout


@pytest.mark.parametrize(
    "fault",
    [
        {"shared": {}},
        {"shared": [7]},
        {"decisions": {}},
        {"decisions": [7]},
        {"decisions": [[0, "t"]]},
        {"columns": ["shared"]},
    ],
)
def test_a_table_of_another_form_is_no_record(log: Path, fault: Json) -> None:
    good = json.loads(lines_in(log)[0])
    found = list(values_of(json.dumps({**good, **fault}).encode()))
    assert found and all(isinstance(one, BadRecord) for one in found)
    for place, value in ((0, 99), (0, -1), (0, True), (len(good["columns"]) - 1, 7)):
        rows = [list(good["decisions"][0])]
        rows[0][place] = value
        assert isinstance(next(values_of(json.dumps({**good, "decisions": rows}).encode())), BadRecord)


def test_what_fits_not_into_the_queue_is_counted_and_told() -> None:
    kept = KeptLines()
    kept.failing = True
    log = DecisionLog(kept, makes_tables=True, most_waiting=200)
    for number in range(1000):
        log.record_single(single(number))
    dropped = log.counts().dropped
    assert dropped >= 600
    kept.failing = False
    log.close()
    told = sum(one.get("dropped", 0) for one in kept.records)
    assert told == dropped
    assert len(kept.records) - sum("dropped" in one for one in kept.records) + dropped == 1000

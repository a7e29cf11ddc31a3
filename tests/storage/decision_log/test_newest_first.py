"""The decision log read backwards gives every line once, the newest first, and a place stays that of its line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from klausel.storage.decision_log import newest_first
from klausel.storage.decision_log.files import UnreadableLog
from klausel.storage.decision_log.newest_first import LinePlace, NewestFirst, lines_of, read_place
from klausel.storage.decision_log.sinks import DATABASE, DatabaseSink
from klausel.storage.schema import open_database

ENGINE = create_engine("sqlite://")


def lines_in(log: NewestFirst, before: LinePlace | None = None) -> list[tuple[LinePlace, bytes]]:
    return [line for block in log.blocks(before) for line in lines_of(*block)]


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_every_line_comes_once_the_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(newest_first, "BLOCK_BYTES", size)
    texts = [b"x" * (number % 23) + b"%d" % number for number in range(60)]
    path = tmp_path / "log"
    for name, part in (("log.000001", texts[:20]), ("log.000002", texts[20:40]), ("log", texts[40:])):
        (tmp_path / name).write_bytes(b"".join(line + b"\n" for line in part))
    log = NewestFirst(str(path), ENGINE)
    found = lines_in(log)
    assert [line for _, line in found] == texts[::-1]
    assert all(log.line_at(place) == line for place, line in found)
    for place, _ in found[::7]:
        assert [line for _, line in lines_in(log, place)] == texts[: texts.index(log.line_at(place) or b"")][::-1]
    # A file that is put aside keeps its places.
    path.rename(tmp_path / "log.000003")
    path.write_bytes(b"new\n")
    assert all(log.line_at(place) == line for place, line in found)
    assert lines_in(log)[0] == (LinePlace(4, 0), b"new")


def test_a_place_where_no_line_begins_has_none(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\n")
    log = NewestFirst(str(path), ENGINE)
    assert [log.line_at(LinePlace(1, start)) for start in (0, 1, 4, 5, 8, 99)] == [b"one", None, b"two", None, None, None]
    assert (log.line_at(LinePlace(2, 0)), log.line_at(LinePlace(0, 0))) == (None, None)
    assert [read_place(text) for text in ("1.4", "1", "x.1", "-1.1", "1.1.1", "١.1")] == [LinePlace(1, 4), *[None] * 5]


def test_files_compressed_by_gzip_are_read_and_others_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest_first, "BLOCK_BYTES", 8)
    old = [b"old %d" % number for number in range(9)]
    (tmp_path / "log.000001.zst").write_bytes(b"?")
    (tmp_path / "log.000002").write_bytes(b"".join(line + b"\n" for line in old))
    (tmp_path / "log").write_bytes(b"new\n")
    log = NewestFirst(str(tmp_path / "log"), ENGINE)
    before = lines_in(log)
    (tmp_path / "log.000002.gz").write_bytes(gzip.compress((tmp_path / "log.000002").read_bytes()))
    (tmp_path / "log.000002").unlink()
    assert [line for _, line in before] == [b"new", *old[::-1]]
    # Each line keeps its place when its file is compressed.
    assert lines_in(log) == before
    assert [log.line_at(place) for place, _ in before] == [line for _, line in before]
    assert log.line_at(LinePlace(2, 1)) is None
    assert log.unread() == 1


def test_a_compressed_file_that_is_large_or_damaged_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.000001.gz"
    path.write_bytes(gzip.compress(b"old\n" * 100))
    (tmp_path / "log").write_bytes(b"new\n")
    log = NewestFirst(str(tmp_path / "log"), ENGINE)
    monkeypatch.setattr(newest_first, "MOST_UNPACKED", 99)
    assert ([line for _, line in lines_in(log)], log.unread(), log.line_at(LinePlace(1, 0))) == ([b"new"], 1, None)
    for content in (path.read_bytes()[:-9], b"no gzip"):
        path.write_bytes(content)
        with pytest.raises(UnreadableLog, match=r"log\.000001\.gz cannot be read: "):
            lines_in(log)


def test_standard_output_is_not_read() -> None:
    out = NewestFirst("stdout", ENGINE)
    assert (out.is_readable, lines_in(out), out.line_at(LinePlace(1, 0))) == (False, [], None)


def test_the_table_is_read_backwards_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest_first, "ROWS_PER_BLOCK", 3)
    url = f"sqlite:///{tmp_path / 'klausel.db'}"
    engine = open_database(url)
    log = NewestFirst(DATABASE, engine)
    assert (lines_in(log), log.line_at(LinePlace(0, 1))) == ([], None)
    texts = [b'{"time":"2026-03-01T00:00:00.%06dZ"}' % number for number in range(7)]
    sink = DatabaseSink(url)
    sink.write([line + b"\n" for line in texts])
    sink.close()
    found = lines_in(log)
    assert [line for _, line in found] == texts[::-1]
    assert [line for _, line in lines_in(log, found[3][0])] == texts[:3][::-1]
    assert log.line_at(found[0][0]) == texts[-1]
    engine.dispose()

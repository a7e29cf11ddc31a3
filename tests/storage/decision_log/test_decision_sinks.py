"""Sinks take every line whole, whoever else writes, and say so when they cannot."""

import gzip
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from klausel.storage.decision_log.files import Block, blocks_of
from klausel.storage.decision_log.queue import SinkError
from klausel.storage.decision_log.sinks import DatabaseSink, FileSink, blocks_in_database, open_sink
from klausel.storage.schema import open_database

WRITERS = 3
LINES_EACH = 400


def _write(path: Path, writer: int) -> None:
    sink = FileSink(path, 20_000, 0)
    for number in range(0, LINES_EACH, 4):
        sink.write(
            [f'{{"writer": {writer}, "line": {line}, "x": "{"x" * 50}"}}\n'.encode() for line in range(number, number + 4)]
        )
    sink.close()


def test_several_processes_and_rotation_lose_and_mix_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "log.jsonl"
    workers = [context.Process(target=_write, args=(path, writer)) for writer in range(WRITERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    files = [*sorted(tmp_path.glob("log.jsonl.*")), path]
    assert len(files) > 3
    assert all(file.stat().st_size <= 20_000 for file in files)
    lines = [line for file in files for line in file.read_bytes().splitlines()]
    wanted = {
        f'{{"writer": {w}, "line": {n}, "x": "{"x" * 50}"}}'.encode() for w in range(WRITERS) for n in range(LINES_EACH)
    }
    assert len(lines) == WRITERS * LINES_EACH
    assert set(lines) == wanted


def test_the_oldest_files_go_first_and_compressed_ones_count(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    (tmp_path / "log.jsonl.000007.gz").write_bytes(b"")
    sink = FileSink(path, 10, 2)
    for number in range(4):
        sink.write([f"line {number} of the log\n".encode()])
    sink.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log.jsonl", "log.jsonl.000009", "log.jsonl.000010"]


def test_a_new_file_has_the_access_rights_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.touch()
    path.chmod(0o640)
    sink = FileSink(path, 10, 0)
    sink.write([b"one two three four\n"])
    sink.write([b"five\n"])
    sink.close()
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_file_that_somebody_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    sink = FileSink(path, 1000, 0)
    sink.write([b"one\n"])
    path.rename(tmp_path / "moved")
    sink.write([b"two\n"])
    sink.close()
    assert (path.read_bytes(), (tmp_path / "moved").read_bytes()) == (b"two\n", b"one\n")


def test_half_a_line_of_a_killed_process_stays_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"half')
    sink = FileSink(path, 1000, 0)
    sink.write([b"whole\n"])
    sink.write([b"another\n"])
    sink.close()
    assert path.read_bytes() == b'{"half\nwhole\nanother\n'


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_said_in_a_sentence() -> None:
    sink = FileSink(Path("/dev/full"), 1000, 0)
    with pytest.raises(SinkError, match="/dev/full: no space left"):
        sink.write([b"one\n"])
    sink.close()


def test_a_file_that_cannot_be_opened_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="no such file or directory"):
        open_sink(str(tmp_path / "missing" / "log.jsonl"), "", 1000, 0)


def test_standard_output_gets_every_line(tmp_path: Path) -> None:
    code = (
        "from klausel.storage.decision_log.sinks import open_sink\n"
        "open_sink('stdout', '', 1, 0).write([b'x' * size + b'\\n' for size in (10, 5000, 4000, 100)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert [len(line) for line in done.stdout.splitlines()] == [10, 5000, 4000, 100]


FILLS_A_PIPE = """
import os, sys
from klausel.storage.decision_log.queue import SinkError
from klausel.storage.decision_log.sinks import open_sink
sink = open_sink("stdout", "", 10_000, 0)
try:
    while True:
        sink.write([b"x" * int(sys.argv[1]) + b"\\n"])
except SinkError as error:
    sys.stderr.write(f"{error} after {error.taken}")
    sys.stderr.flush()
sys.stdin.readline()
sink.write([b"last\\n"])
"""


@pytest.mark.parametrize("characters", [999, 30_000])
def test_a_pipe_that_nobody_reads_is_said_in_a_sentence_and_holds_nobody_up(characters: int) -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", FILLS_A_PIPE, str(characters)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stderr is not None
        expected = b"standard output: the pipe is full and nobody reads it after 0"
        assert process.stderr.read(len(expected)) == expected
        out, _ = process.communicate(b"\n", timeout=60)
    *whole, half, last = out.splitlines()
    assert last == b"last"
    assert whole and set(whole) == {b"x" * characters}
    assert set(half) == set(b"x")


def test_a_named_pipe_is_refused_with_its_cure(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SinkError, match="this is a pipe; name a file, or write stdout and pipe that"):
        open_sink(str(tmp_path / "pipe"), "", 10_000, 0)


def test_the_database_keeps_records_in_order_with_their_time(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    time = "2026-03-01T00:00:00.000000Z"
    for start in (0, 2):
        sink = DatabaseSink(url)
        sink.write([f'{{"time":"{time}","n":{number}}}\n'.encode() for number in (start, start + 1)])
        sink.close()
    engine = open_database(url)
    with engine.connect() as connection:
        assert set(connection.execute(text("SELECT time FROM klausel_decision")).scalars()) == {time}
    (block,) = blocks_in_database(engine)
    engine.dispose()
    assert block.data.decode() == "".join(f'{{"time":"{time}","n":{number}}}\n' for number in range(4))


def test_files_are_read_in_blocks_of_whole_lines_compressed_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klausel.storage.decision_log.files.BLOCK_BYTES", 64)
    data = b"".join(f"line {number}\n".encode() for number in range(100)) + b"the last without its end"
    plain, packed = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    plain.write_bytes(data)
    packed.write_bytes(gzip.compress(data))
    for file in (plain, packed):
        blocks = list(blocks_of([str(file)]))
        assert b"".join(block.data for block in blocks) == data
        assert all(block.data.endswith(b"\n") for block in blocks[:-1])
        line = 1
        for block in blocks:
            assert block.first_line == line
            line += block.data.count(b"\n")
    assert blocks[0] == Block(str(packed), 1, blocks[0].data)

"""The decision log's table, on SQLite and on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

from klausel.storage.decision_log.sinks import DatabaseSink, blocks_in_database
from klausel.storage.schema import open_database

TIME = "2026-03-01T00:00:00.000000Z"


def line(number: int) -> bytes:
    return f'{{"time":"{TIME}","number":{number},"text":"nul \\u0000, Ümläut 𝄞"}}\n'.encode()


def test_services_that_start_at_once_share_one_table_and_lose_nothing(database_url: str) -> None:
    def write(first: int) -> None:
        sink = DatabaseSink(database_url)
        for number in range(first, first + 20):
            sink.write([line(number), line(number + 1000)])
        sink.close()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, (0, 100, 200)))
    engine = open_database(database_url)
    found = b"".join(block.data for block in blocks_in_database(engine)).splitlines(keepends=True)
    engine.dispose()
    numbers = [number for first in (0, 100, 200) for number in range(first, first + 20)]
    assert sorted(found) == sorted(line(number + more) for number in numbers for more in (0, 1000))


def test_a_database_without_the_table_holds_no_records(database_url: str) -> None:
    engine = open_database(database_url)
    assert list(blocks_in_database(engine)) == []
    engine.dispose()

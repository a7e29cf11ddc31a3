"""The load generator: keep-alive connections to 127.0.0.1, requests built before, every answer checked.

One process, `epoll` or what the system has; each connection sends its next request as soon as its answer is read. The same
for every server. Reads its task as JSON from standard input, writes what it found as JSON.
"""

from __future__ import annotations

import base64
import json
import resource
import selectors
import socket
import sys
from time import perf_counter
from typing import Any

LONGEST_SECONDS = 30.0
MOST_REQUESTS = 2_000_000


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Sends requests for some seconds; the number answered, the wrong answers, and the share of one core that it took."""
    requests = [(base64.b64decode(request), allows, denies) for request, allows, denies in task["requests"]]
    allow, deny = task["allow"].encode(), task["deny"].encode()
    seconds = min(task["seconds"], LONGEST_SECONDS)
    selector = selectors.DefaultSelector()
    connections = []
    total = len(requests)
    position = 0
    for _ in range(task["connections"]):
        connection = socket.create_connection(("127.0.0.1", task["port"]), timeout=5)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        state = [connection, position % total, b""]
        position += 1
        selector.register(connection, selectors.EVENT_READ, state)
        connections.append(connection)
    done = wrong = 0
    latencies: list[float] = []
    sent_at: dict[int, float] = {}
    for key in list(selector.get_map().values()):
        sent_at[key.fd] = perf_counter()
        key.data[0].sendall(requests[key.data[1]][0])
    began = resource.getrusage(resource.RUSAGE_SELF)
    started = now = perf_counter()
    end = started + seconds
    while now < end and done < MOST_REQUESTS:
        events = selector.select(5)
        if not events:
            raise SystemExit("the server stopped answering")
        for key, _ in events:
            state = key.data
            received = state[0].recv(262_144)
            if not received:
                raise SystemExit("the server closed a connection")
            answer = state[2] + received if state[2] else received
            if not is_whole(answer):
                state[2] = answer
                continue
            state[2] = b""
            now = perf_counter()
            _, allows, denies = requests[state[1]]
            if not answer.startswith(b"HTTP/1.1 200") or answer.count(allow) != allows or answer.count(deny) != denies:
                wrong += 1
            done += 1
            latencies.append(now - sent_at[key.fd])
            state[1] = position = (position + 1) % total
            sent_at[key.fd] = now
            state[0].sendall(requests[position][0])
    took = perf_counter() - started
    ended = resource.getrusage(resource.RUSAGE_SELF)
    for connection in connections:
        connection.close()
    latencies.sort()
    return {
        "per_second": done / took,
        "wrong": wrong,
        "share_of_a_core": (ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime) / took,
        "median_seconds": latencies[len(latencies) // 2] if latencies else 0.0,
        "slow_seconds": latencies[int(len(latencies) * 0.99)] if latencies else 0.0,
    }


def is_whole(answer: bytes) -> bool:
    """Whether an HTTP answer has arrived to its end, by its length or its last chunk."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = answer[:end].lower()
    at = head.find(b"content-length:")
    if at >= 0:
        line_end = head.find(b"\r\n", at)
        length = int(head[at + 15 : line_end if line_end >= 0 else None])
        return len(answer) >= end + 4 + length
    return answer.endswith(b"0\r\n\r\n")


if __name__ == "__main__":
    json.dump(run(json.load(sys.stdin)), sys.stdout)

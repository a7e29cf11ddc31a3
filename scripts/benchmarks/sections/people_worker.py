"""One start of the service's parts on a database, measured from inside a process of its own.

Reads a task as JSON from standard input, writes what it found as JSON. `kind` is `service` or `stock`.
"""

from __future__ import annotations

import json
import sys
from statistics import median
from time import perf_counter
from typing import Any

_WARM_PASSES = 15


def resident_bytes() -> int:
    """The memory of this process that is in use now (where the system tells, else the most it ever was)."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_service(task: dict[str, Any]) -> dict[str, float]:
    """Start-up with imports, memory, warm decisions of a working set, and first decisions beside the bare SELECT."""
    started = perf_counter()
    from klausel.app import create_service
    from klausel.core.terms.request import Action, Request, Resource, Subject
    from klausel.settings import Settings

    service = create_service(Settings(policies=task["policies"], model=task["model"], database=task["database"]))
    requests = [
        Request(Subject("user", subject), Action(action), Resource(type_, id_, properties))
        for subject, action, type_, id_, properties in task["requests"]
    ]
    decide = service.decider()
    decide(requests[0])
    startup = perf_counter() - started
    for request in requests:
        decide(request)
    found = {"startup": startup, "bytes": float(resident_bytes())}
    decide = service.decider()
    passes = []
    for _ in range(_WARM_PASSES):
        began = perf_counter()
        for request in requests:
            decide(request)
        passes.append((perf_counter() - began) / len(requests))
    found["warm"] = median(passes)
    if task["strangers"]:
        found |= _first_decisions(service, task["database"], task["strangers"], requests[0])
    return found


def _first_decisions(service: Any, database: str, strangers: list[str], like: Any) -> dict[str, float]:
    """The median first decision of a subject, and the median bare SELECT of another's rows, in turn."""
    from sqlalchemy import make_url

    from klausel.storage.sql.database import make_engine

    engine = make_engine(make_url(database), hold_connections=True)
    held = engine.raw_connection()
    connection: Any = held.driver_connection
    if engine.dialect.name == "postgresql":
        connection.autocommit = True
    cursor = connection.cursor()
    mark = "?" if engine.dialect.name == "sqlite" else "%s"
    query = f"SELECT v1, v2 FROM casbin_rule WHERE v0 = {mark}"
    firsts, selects = [], []
    for number in range(0, len(strangers) - 1, 2):
        request = like._replace(subject=like.subject._replace(id=strangers[number]))
        began = perf_counter()
        service.decider()(request)
        firsts.append(perf_counter() - began)
        subject = f"user:{strangers[number + 1]}"
        began = perf_counter()
        cursor.execute(query, (subject,)).fetchall()
        selects.append(perf_counter() - began)
    held.close()
    return {"first": median(firsts), "select": median(selects)}


def measure_stock(task: dict[str, Any]) -> dict[str, float]:
    """Stock pycasbin loading role assignments from a file, and the first question in a domain."""
    import casbin

    before = resident_bytes()
    started = perf_counter()
    model = casbin.Enforcer.new_model(text=task["model_text"])
    enforcer = casbin.Enforcer(model, casbin.persist.adapters.FileAdapter(task["file"]))
    loaded = perf_counter() - started
    began = perf_counter()
    enforcer.enforce(*task["question"])
    return {"startup": loaded, "bytes": float(resident_bytes() - before), "first": perf_counter() - began}


if __name__ == "__main__":
    told = json.load(sys.stdin)
    json.dump((measure_stock if told["kind"] == "stock" else measure_service)(told), sys.stdout)

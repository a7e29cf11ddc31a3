"""How long `klausel findings` takes over a million role assignments and five million records of decisions, in which memory.

Fills a folder first, which needs 4 GB: `scripts/python -m benchmarks.sections.findings FOLDER [RECORDS]`.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from benchmarks.sections.search_pages import role_assignments
from klausel.core.policy.policy_set import PolicySet
from klausel.core.records.decision_record import describe_grant
from klausel.service.pipeline import open_policy
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database

ROOT = Path(__file__).parents[3]
RECORDS = 5_000_000
DAYS = 120
TOXIC = "\n  - name: Nobody both creates and archives\n    toxic: [{to: %s, resource: quiz}, {to: %s, resource: quiz}]\n"


def fill(folder: Path, records: int) -> None:
    """Writes policies that declare what there is to find, a database, and a decision log of the last 120 days."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "policies", folder / "policies", dirs_exist_ok=True)
    shutil.copy(ROOT / "model.conf", folder)
    roles, invariants = folder / "policies" / "roles.yaml", folder / "policies" / "invariants.yaml"
    roles.write_text(roles.read_text().replace("    keep_one: true", "    keep_one: true\n    privileged: true"))
    invariants.write_text(invariants.read_text() + TOXIC % ("take", "edit"))
    policy = open_policy(folder / "policies", folder / "model.conf").compiled.policy
    store = AssignmentStore(open_database(f"sqlite:///{folder}/klausel.db"))
    if store.is_empty():
        store.import_rows(policy.roles, role_assignments(Random(1)))
    store.close()
    log = folder / "decisions.jsonl"
    if not log.exists():
        _write_log(log, policy, records)


def _write_log(log: Path, policy: PolicySet, records: int) -> None:
    random = Random(2)
    rows = random.sample([row for row in role_assignments(Random(1)) if "/" in row.domain], 200_000)
    grants = [(grant, describe_grant(grant)) for grant in policy.grants if grant.resource_type == "quiz"]
    begin = datetime.now(UTC) - timedelta(days=DAYS)
    step = timedelta(days=DAYS) / records
    with log.open("w") as out:
        for number in range(records):
            row = rows[int(random.random() * len(rows))]
            grant, told = random.choice(grants)
            account, _, workspace = row.domain.partition("/")
            record = {
                "time": (begin + number * step).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "request_id": f"{number:024x}",
                "route": "evaluation",
                "caller": "127.0.0.1",
                "policy": {"digest": policy.files_digest},
                "assignments_revision": "1",
                "subject": {"type": "user", "id": row.subject[5:]},
                "action": {"name": grant.action},
                "resource": {
                    "type": "quiz",
                    "id": f"q{number % 1000}",
                    "properties": {"account": account, "workspace": workspace, "status": "published", "creator": "someone"},
                },
                "domain": row.domain,
                "roles": [[row.role, row.domain], ["user", account]],
                "decision": number % 5 != 0,
                "grant": told if number % 5 else None,
                "duration_us": 21.5,
            }
            out.write(json.dumps(record, separators=(",", ":")) + "\n")


def main(folder: Path, records: int) -> None:
    """Prints wall time, processor time and peak memory of each, all findings written as CSV."""
    fill(folder, records)
    common = ["klausel", "findings", "--policies", str(folder / "policies"), "--database", f"sqlite:///{folder}/klausel.db"]
    for what, more in (
        ("role assignments alone", []),
        ("with the decision log", ["--decisions", str(folder / "decisions.jsonl")]),
    ):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        with (folder / "findings.csv").open("wb") as out:
            subprocess.run([*common, "--format", "csv", *more], stdout=out, check=True)
        wall = time.perf_counter() - start
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        with (folder / "findings.csv").open("rb") as found:
            lines = sum(1 for _ in found) - 1
        memory = used.ru_maxrss / 1024
        print(
            f"{what}: {lines:,} findings in {wall:.1f} s, {processor:.1f} s of processors, at most {memory:.0f} MB a process"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else RECORDS)

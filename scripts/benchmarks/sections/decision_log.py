"""What a decision log of everything costs over HTTP: two services, one with a log in files and one without, asked in turns.

`scripts/python -m benchmarks.sections.decision_log [ROUNDS]`. One worker each. The two rounds that are compared follow
each other, in an order drawn by lot, so the ratios hold on a busy machine, too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.organisation import holdings
from benchmarks.sections.http import (
    EVALUATIONS,
    Exchange,
    answered_batches,
    authzen_batch,
    counts,
    klausel_server,
    load,
)
from benchmarks.workload import make_questions, shipped_policy

PEOPLE = 1_000
QUESTIONS = 2_000
BATCH = 50
CONNECTIONS = 8
SECONDS = 1.5


def main(rounds: int = 15) -> None:
    """Prints the share of evaluations a second that the log takes, alone and in batches: the median of pairs, and each."""
    policy, random = shipped_policy(), Random(11)
    questions = make_questions(policy, holdings(policy.roles, PEOPLE), PEOPLE, QUESTIONS)
    singles = [
        Exchange(json.dumps(asked[0].as_authzen()).encode(), *counts(answers))
        for asked, answers in answered_batches(policy, questions, 1)
    ]
    batches = [
        Exchange(authzen_batch(asked), *counts(answers)) for asked, answers in answered_batches(policy, questions, BATCH)
    ]
    with TemporaryDirectory(prefix="klausel-bench-") as place:
        without_log, with_log = Path(place, "without"), Path(place, "with")
        for folder in (without_log, with_log):
            folder.mkdir()
        options = ("--decision-log", str(with_log / "decisions.jsonl"))
        with (
            klausel_server(policy, without_log, PEOPLE, workers=1) as off,
            klausel_server(policy, with_log, PEOPLE, options, workers=1) as on,
        ):
            for name, exchanges, path in (("singles", singles, off.path), (f"batches of {BATCH}", batches, EVALUATIONS)):
                doors = [one._replace(path=path) for one in (off, on)]
                for door in doors:
                    load(door, exchanges, CONNECTIONS, SECONDS / 3)
                costs, speeds = [], []
                for _ in range(rounds):
                    found = {}
                    for number in random.sample((0, 1), 2):
                        found[number] = load(doors[number], exchanges, CONNECTIONS, SECONDS)["per_second"]
                    costs.append(1 - found[1] / found[0])
                    speeds.append(found[0])
                shown = ", ".join(f"{cost:.0%}" for cost in sorted(costs))
                print(f"{name}: {median(speeds):,.0f}/s without a log; it takes {median(costs):.1%} ({shown})", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

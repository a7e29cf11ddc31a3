"""Writes docs/performance.md from what a run found."""

from __future__ import annotations

from benchmarks.plots import draw
from benchmarks.report import Run, as_markdown
from benchmarks.workload import ROOT

_HEAD = """# Performance

This page is written by `scripts/bench --write-docs`; do not edit it by hand. To repeat it, on any machine with \
Python 3.11 or
later:

```sh
scripts/bench
```

It takes under five minutes on two cores and needs no arguments. It gets the peers by itself (node-casbin and the \
Cerbos server
from npm, cedarpy and vakt from PyPI, into `.bench/`); one that cannot be had is named, and the run goes on.

| option | what for |
|---|---|
| `--only PART` | one part; may be given several times |
| `--large` | up to ten million people |
| `--json FILE` | every round, for machines |
| `--plot FILE` | the picture in another place than `.bench/performance.png` |
| `--quick` | tiny counts, to see that all of it works |
| `--micro` | the hot functions by themselves, with pytest-benchmark |

Before anything is measured, all contestants answer the same questions; a difference ends the run with exit code 1. \
The workload
is the shipped policies and an organisation made up from a seed: accounts of 20 workspaces, 500 people in each. \
Contestants take
turns in every round; a table shows the median round, the lowest and the highest. Ratios are what to look at: seconds \
differ
from machine to machine.

How the peers are asked:

- stock pycasbin has the same `model.conf`, rows, role manager and functions;
- node-casbin has the same model and rows, with the functions in JavaScript, and is measured inside its own process;
- cedarpy gets the policies parsed beforehand, and the entities of each request as JSON made beforehand;
- vakt has its policies in memory;
- Cerbos has derived roles and resource policies; the roles of a subject are sent with each request, whereas Klausel
  looks them up.

HTTP is asked by one load generator, which keeps its connections open, has its requests built before and checks every \
answer.

A change of a file is measured on the service's own way: the folder is read twice (once to see that it stayed as it \
was judged), the
changed file is parsed, policy tests run, invariants are proved of what may have changed, the plan is made, and it is \
in force. Not in it
is `--settle-seconds`, the wait for further edits.

## What further commands measure

Each makes its own data, and prints what it found. Where nothing else is said, the figures are of 2026-11-28, on two cores that \
other work kept busy: of
comparisons within one run only the ratios mean something.

| command, with `scripts/python -m` | what | found |
|---|---|---|
| `benchmarks.sections.words` | a warm decision with each word of conditions, × one that compares two texts (target \
1.3 ×) | `now` 1.14, numbers 1.09, lists 1.05, `starts_with` 1.18, `has` 1.14; a duration (`context.now - … < \
days(30)`) 1.25 |
| `benchmarks.sections.decision_log` | what a log of every decision takes of the throughput of one worker \
(targets 10 % alone, 20 % in batches) | A machine at rest, medians of 15 and 40 pairs: singles 6.3 and 9.3 %, \
batches of 50 18.0 and 16.1 %: both met. Single pairs spread from -17 to 27 %. The log itself takes 5.7 µs of \
processor time beside 10.2 µs for an evaluation without HTTP: about a fifth of that to write, two fifths for the \
JSON, two fifths to note the decision |
| `benchmarks.sections.findings` | processor time of `klausel findings` over a million role assignments (target with \
5,000,000 records: 100 s) | 2026-11-29: 11 s, at most 70 MB; with 5,000,000 records and 689,000 findings 61 s, at \
most 277 MB a process. By the clock 54 s beside little other work, 167 s at a load of nine |
| `benchmarks.sections.times_and_groups` | 1,174,992 role assignments, many with an end, and 94,000 groups, \
beside 986,992 without: their import, and the look-up of effective roles | processor time of the import, SQLite: \
12.5 µs a row, 10.3 without; of the client, PostgreSQL: 4.8 and 2.6. Look-up, SQLite: first 26 µs, with an end \
55 µs, in a group 72 µs; warm 0.9 to 1.2 µs |
| `benchmarks.sections.menus` | a menu of 50 resources with eight actions, × a batch of 50 evaluations (target 2 ×) | \
1.09 without conditions, 1.79 with one on each, 1.39 where they read what is stored |
| `benchmarks.sections.search_pages`, `.searches` | the first page of a search | [audit.md](audit.md), \
[http.md](http.md) |
| `benchmarks.sections.stored_searches` | the first page of a hundred among a million role assignments and a \
million stored entities (targets: median 50 ms, worst of 1,000 100 ms), twelve kinds of searches | 2026-11-29, \
while nothing else ran: SQLite medians 0.3 to 22.9 ms, worst 72 ms; PostgreSQL medians 0.3 to 40.9 ms, worst 85 \
ms: met on both |
| `benchmarks.sections.filters` | the list filter of somebody with roles in 10,000 workspaces, over 200,000 rows \
of which 37,539 are shown | 2026-11-29, beside other work (a load of 9), by the clock: the first answer 0.3 s on \
SQLite and 0.4 s on PostgreSQL, later ones 0.2 s (79 KB); made into SQL 24 and 37 ms; rows counted, or a page of \
100 read, 150 ms on SQLite, 100 ms on PostgreSQL |
| `benchmarks.sections.history` | `klausel log` over 2,000 commits that each add or take a grant of the shipped policies, \
at first (target 10 s) and when it is asked again (2 s) | processor time 7.0 to 8.1 s, and 0.7 to 0.9 s; `log --check`, \
which runs policy tests and proofs of each, 15.5 s, and 1.2 s |

Loading 10,000 rules for the first time takes 0.95 s of processor time. A role that is added takes nearly as long: every \
invariant is proved
again of every type and action, about 1 ms for each that has grants of its own.

"""
_PICTURE = "![Latency against the number of rules and of people](performance.png)\n\n"


def write_documentation(run: Run) -> None:
    """Writes the page and its picture."""
    folder = ROOT / "docs"
    folder.mkdir(exist_ok=True)
    drawn = draw(run.sections, folder / "performance.png")
    text = _HEAD + (_PICTURE if drawn else "") + as_markdown(run) + "\n"
    (folder / "performance.md").write_text(text, encoding="utf-8")

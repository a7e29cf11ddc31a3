"""Writes docs/performance.md from what a run found."""

from __future__ import annotations

from benchmarks.plots import draw
from benchmarks.report import Run, as_markdown
from benchmarks.workload import ROOT

_HEAD = """# Performance

This page is written by `scripts/bench --write-docs`; do not edit it by hand. To repeat it, on any machine with Python 3.11 or
later:

```sh
scripts/bench
```

It takes under five minutes on two cores and needs no arguments. It gets the peers by itself (node-casbin and the Cerbos server
from npm, cedarpy and vakt from PyPI, into `.bench/`); one that cannot be had is named, and the run goes on.

| option | what for |
|---|---|
| `--only PART` | one part; may be given several times |
| `--large` | up to ten million people |
| `--json FILE` | every round, for machines |
| `--plot FILE` | the picture in another place than `.bench/performance.png` |
| `--quick` | tiny counts, to see that all of it works |
| `--micro` | the hot functions by themselves, with pytest-benchmark |

Before anything is measured, all contestants answer the same questions; a difference ends the run with exit code 1. The workload
is the shipped policies and an organisation made up from a seed: accounts of 20 workspaces, 500 people in each. Contestants take
turns in every round; a table shows the median round, the lowest and the highest. Ratios are what to look at: seconds differ
from machine to machine.

How the peers are asked:

- stock pycasbin has the same `model.conf`, rows, role manager and functions;
- node-casbin has the same model and rows, with the functions in JavaScript, and is measured inside its own process;
- cedarpy gets the policies parsed beforehand, and the entities of each request as JSON made beforehand;
- vakt has its policies in memory;
- Cerbos has derived roles and resource policies; the roles of a subject are sent with each request, whereas Klausel
  looks them up.

HTTP is asked by one load generator, which keeps its connections open, has its requests built before and checks every answer.

"""
_PICTURE = "![Latency against the number of rules and of people](performance.png)\n\n"


def write_documentation(run: Run) -> None:
    """Writes the page and its picture."""
    folder = ROOT / "docs"
    folder.mkdir(exist_ok=True)
    drawn = draw(run.sections, folder / "performance.png")
    text = _HEAD + (_PICTURE if drawn else "") + as_markdown(run) + "\n"
    (folder / "performance.md").write_text(text, encoding="utf-8")

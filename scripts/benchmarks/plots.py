"""The picture of latency against the number of rules and of people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import Section

_DOTS = 110


def draw(sections: Sequence[Section], file: Path) -> bool:
    """Writes a PNG with one panel for each kind of curve; False when there is none, or no matplotlib to draw it."""
    kinds = [(kind, curves) for section in sections for kind, curves in section.curves.items()]
    if not kinds:
        return False
    try:
        import matplotlib
    except ModuleNotFoundError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(kinds), figsize=(5.5 * len(kinds), 4), squeeze=False)
    for panel, (kind, curves) in zip(panels[0], kinds, strict=True):
        highest = max(seconds for curve in curves for _, seconds in curve.points) * 1e6
        for curve in curves:
            counts = [count for count, _ in curve.points]
            micros = [seconds * 1e6 for _, seconds in curve.points]
            panel.plot(counts, micros, marker="o", label=curve.name)
        panel.set(xscale="log", yscale="log", ylim=(0.5, max(2 * highest, 1000)))
        panel.set(xlabel=f"number of {kind}", ylabel="µs a decision")
        panel.grid(True, which="major", alpha=0.3)
        panel.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=_DOTS, metadata={"Software": None})
    pyplot.close(figure)
    return True

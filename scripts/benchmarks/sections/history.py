"""How long `klausel log` takes over a long history of the shipped policies, at first and when it is asked again.

`scripts/python -m benchmarks.sections.history [COMMITS]`
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import yaml

ROOT = Path(__file__).parents[3]
COMMITS = 2_000
KEPT_GRANTS = 20
"""So many of the grants that commits add stand at once; each further commit takes the oldest out."""


def commits(policies: Path, count: int, random: Random) -> Iterator[tuple[str, dict[str, str]]]:
    """The message of each commit and the files that it writes: first all of them, then one that gains or loses a grant."""
    files = {str(path.relative_to(policies)): path.read_text("utf-8") for path in sorted(policies.rglob("*.yaml"))}
    yield "First policies", files
    roles = list(yaml.safe_load(files["roles.yaml"])["roles"])
    features = {name: yaml.safe_load(text) for name, text in files.items() if name.startswith("features/")}
    choices = [
        (name, kind, action)
        for name, feature in features.items()
        for kind, its in (feature.get("resource_types") or {}).items()
        for action in its["actions"]
    ]
    added: list[tuple[str, str]] = []
    for number in range(1, count):
        if len(added) > KEPT_GRANTS:
            name, _ = added.pop(0)
            what = "Take a grant out of"
        else:
            name, kind, action = random.choice(choices)
            lines = f"  - allow: {random.choice(roles)}\n    to: {action}\n    resource: {kind}\n"
            added.append((name, f"  # Number {number}.\n{lines}"))
            what = "Add a grant to"
        yield f"{what} {name}", {name: files[name] + "".join(lines for where, lines in added if where == name)}


def write_history(folder: Path, count: int) -> None:
    """A git repository with model.conf and so many commits of policies, one an hour."""
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    parts = []
    for number, (message, files) in enumerate(commits(ROOT / "policies", count, Random(7))):
        when = 1_600_000_000 + number * 3_600
        parts.append(f"commit refs/heads/main\ncommitter Kim <kim@example.org> {when} +0000\n{_data(message)}")
        written = {f"policies/{name}": text for name, text in files.items()}
        if number == 0:
            written["model.conf"] = (ROOT / "model.conf").read_text("utf-8")
        parts += [f"M 100644 inline {path}\n{_data(text)}" for path, text in written.items()]
    stream = "".join(parts).encode()
    subprocess.run(["git", "-C", str(folder), "fast-import", "--quiet"], input=stream, check=True)
    subprocess.run(["git", "-C", str(folder), "reset", "-q", "--hard"], check=True)


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"


def main(count: int = COMMITS) -> None:
    """Writes the history into a folder of its own and prints what both runs of the command cost."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "history"
        write_history(folder, count)
        for what in ("at first", "asked again"):
            for arguments in (["log"], ["log", "--check"]):
                began, spent = time.perf_counter(), _spent_by_children()
                done = subprocess.run(
                    ["klausel", *arguments], cwd=folder, env=os.environ, stdout=subprocess.PIPE, check=True
                )
                took, cost = time.perf_counter() - began, _spent_by_children() - spent
                print(
                    f"klausel {' '.join(arguments)}, {count:,} commits, {what}: {took:.1f} s, "
                    f"{cost:.1f} s of processor time, {len(done.stdout.splitlines()):,} lines",
                    flush=True,
                )


def _spent_by_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))

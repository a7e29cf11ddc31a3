"""A repository of many commits of the shipped policies, made in one go; as a program: FOLDER COMMITS."""

from __future__ import annotations

import sys
from pathlib import Path

from git_in_tests import Repository

ROOT = Path(__file__).parents[3]
CHANGED = 4
"""Every so many commits one leaves the meaning: it changes a remark."""


def make_history(folder: Path, commits: int) -> Repository:
    """A bare repository whose commits each change the grants, or now and then just a remark, of one feature file."""
    repository = Repository(folder, "--bare")
    texts = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in [*ROOT.glob("policies/*.yaml"), *ROOT.glob("policies/features/*.yaml"), ROOT / "model.conf"]
    }
    types = {
        "quizzes": ("quiz", ["edit", "delete"]),
        "calibration": ("calibration_session", ["create", "edit"]),
        "billing": ("billing", ["edit"]),
    }
    lines: list[bytes] = []
    for number in range(commits):
        feature = [*types][number % len(types)]
        name = f"policies/features/{feature}.yaml"
        text = f"{texts[name].rstrip()}\n# Remark {number}\n"
        if number % CHANGED:
            resource, actions = types[feature]
            action = actions[number % len(actions)]
            text += f"  - allow: agent\n    to: {action}\n    resource: {resource}\n    when: resource.size < {number}\n"
        who = f"Ann <ann@example.com> {1767600000 + 60 * number} +0100\n"
        lines.append(f"commit refs/heads/main\nauthor {who}committer {who}{_data(f'Commit {number}')}".encode())
        for path, content in (texts | {name: text} if number == 0 else {name: text}).items():
            lines.append(f"M 644 inline {path}\n{_data(content)}".encode())
    repository.git("fast-import", "--quiet", stdin=b"".join(lines))
    return repository


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"


if __name__ == "__main__":
    make_history(Path(sys.argv[1]), int(sys.argv[2]))

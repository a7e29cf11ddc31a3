"""Real git repositories for tests, made so that nothing of the machine's own configuration matters."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROLES = """\
levels:
  house: {named_by: house}
roles:
  boss: {level: house, contains: clerk}
  clerk: {level: house}
"""
LETTERS = """\
resource_types:
  letter: {actions: [read, write, burn]}
grants:
  - allow: clerk
    to: read
    resource: letter
"""
MODEL = (Path(__file__).parents[2] / "model.conf").read_text(encoding="utf-8")
FILES = {"policies/roles.yaml": ROLES, "policies/features/letters.yaml": LETTERS, "model.conf": MODEL}


class Repository:
    """A git repository in a folder, with commits at made-up times."""

    def __init__(self, folder: Path, *init: str) -> None:
        self.folder = folder
        self.minutes = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main", *init)

    def git(self, *arguments: str, stdin: bytes | None = None, author: str = "Ann") -> str:
        """What git prints; raises when it fails."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        date = f"2026-01-05T{8 + self.minutes // 60:02}:{self.minutes % 60:02}:00+0100"
        who = {"NAME": author, "EMAIL": f"{author.lower()}@example.com", "DATE": date}
        people = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
        environment = {**kept, **people, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", "-C", str(self.folder), *arguments], input=stdin, capture_output=True, check=True, env=environment
        )
        return done.stdout.decode().strip()

    def write(self, files: Mapping[str, str]) -> None:
        """Writes files of the work tree."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def commit(self, files: Mapping[str, str], message: str = "A change", author: str = "Ann") -> str:
        """Writes files, commits all of the work tree a minute after the last commit, and gives the id."""
        self.write(files)
        self.minutes += 1
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "-m", message, author=author)
        return self.git("rev-parse", "HEAD")

    def replace(self, name: str, old: str, new: str, message: str = "A change", author: str = "Ann") -> str:
        """Commits a file with a text, which must be there, replaced."""
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text
        return self.commit({name: text.replace(old, new, 1)}, message, author)

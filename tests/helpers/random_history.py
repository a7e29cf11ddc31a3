"""A repository of random commits of the shipped policies: other grants, tests, roles, rules, models; faults, branches, moves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from random import Random

from git_in_tests import Repository

from klausel.core.loading.cache import LoadCache
from klausel.core.loading.load import SourceFile, load_policy

ROOT = Path(__file__).parents[2]
OTHER_NAME = "rules"
OTHER_MODEL = (ROOT / "model.conf").read_text(encoding="utf-8").replace(" && eval(p.cond)", " && eval(p.cond) && 1 == 1")

Files = dict[str, str]


class RandomHistory:
    """Makes commits, each from one before it; a state is the name of the folder of the policies and all files."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        shipped = {
            path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
            for path in [*ROOT.glob("policies/**/*.yaml"), ROOT / "model.conf"]
        }
        self.states: list[tuple[str, Files]] = [("policies", shipped)]
        self._sound: dict[int, int] = {}
        """Of commits with a fault, the last one before without."""
        self._cache = LoadCache()

    def make(self, folder: Path, commits: int) -> list[tuple[str, str]]:
        """Makes a bare repository; each of its commits, the oldest first, with the name of the folder of the policies."""
        repository = Repository(folder, "--bare")
        lines = [self._commit(0, shipped=self.states[0][1])]
        for number in range(1, commits):
            # Mostly on top of the last one; else a branch, of which now and then something is merged.
            parent = number - 1 if self._random.random() < 0.85 else self._random.randrange(number)
            name, files = self.states[parent]
            if parent in self._sound:
                # What is broken is most often put right at once.
                name, files = self.states[self._sound[parent] if self._random.random() < 0.8 else parent]
            name, files = self._edited(name, dict(files))
            merged = None
            if self._random.random() < 0.1 and number > 3:
                merged = self._random.randrange(number)
                of_other, others = self.states[merged]
                files |= {path: text for path, text in others.items() if of_other == name and self._random.random() < 0.5}
            self.states.append((name, files))
            if not self._loads(name, files):
                self._sound[number] = self._sound.get(parent, parent)
            lines.append(self._commit(number, files, parent, merged))
        marks = folder / "marks"
        repository.git("fast-import", "--quiet", "--force", f"--export-marks={marks}", stdin="".join(lines).encode())
        ids = dict(line.split() for line in marks.read_text(encoding="ascii").splitlines())
        return [(ids[f":{number}"], name) for number, (name, _) in enumerate(self.states, start=1)]

    def _loads(self, name: str, files: Files) -> bool:
        inside = {path.removeprefix(f"{name}/"): text for path, text in files.items() if path.startswith(f"{name}/")}
        read = (SourceFile(path, path, text.encode()) for path, text in inside.items())
        return "[oops]" not in files["model.conf"] and load_policy(read, (), self._cache).policy is not None

    def _edited(self, name: str, files: Files) -> tuple[str, Files]:
        random = self._random
        paths = sorted(path for path in files if path.startswith(f"{name}/"))
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            path = random.choice(paths)
            match random.randrange(12):
                case 0:
                    other = OTHER_NAME if name == "policies" else "policies"
                    files = {re.sub(f"^{name}/", f"{other}/", path): text for path, text in files.items()}
                    return other, files
                case 1:
                    files["model.conf"] = random.choice((self.states[0][1]["model.conf"], OTHER_MODEL, "# Remark\n[oops]\n"))
                case 2:
                    files[path] = "# A remark\n" + files[path]
                case 3 if random.random() < 0.4:
                    files[path] = self._with_fault(files[path])
                case 4:
                    path = f"{name}/{random.choice(('roles.yaml', 'invariants.yaml', 'conditions.yaml'))}"
                    files[path] = self._with_other_word(files[path])
                case 5 | 6:
                    path = random.choice([one for one in paths if "/tests/" in one])
                    files[path] = self._with_other_word(files[path])
                case 7:
                    path = f"{name}/invariants.yaml"
                    head, *rules = re.split(r"(?m)^(?=  - name:)", files[path])
                    random.shuffle(rules)
                    files[path] = head + "".join(rules[: random.randrange(len(rules) + 1)] or rules)
                case 8:
                    # As it was at first, so that not everything is broken after a while.
                    path = f"policies/{path.removeprefix(name + '/')}"
                    files[path.replace("policies/", f"{name}/", 1)] = self.states[0][1][path]
                case _:
                    path = random.choice([one for one in paths if "/features/" in one])
                    files[path] = self._with_other_grant(files[path])
        return name, files

    def _with_other_grant(self, text: str) -> str:
        places = [found.start() for found in re.finditer(r"(?m)^  - (allow|deny):", text)]
        grants = [text[here:there] for here, there in zip(places, [*places[1:], len(text)], strict=True)]
        if not grants:
            return text
        place = self._random.randrange(len(grants))
        if self._random.random() < 0.4 and len(grants) > 1:
            del grants[place]
        else:
            grants.insert(place, self._with_other_word(grants[place].rstrip("\n") + "\n"))
        return text[: places[0]] + "".join(grants)

    def _with_other_word(self, text: str) -> str:
        """A text in which one of the names of roles, or of an effect, is another one."""
        words = [*re.finditer(r"\b(admin|account_manager|user|manager|lead|reviewer|agent|anyone|allow|deny)\b", text)]
        if not words:
            return text
        found = self._random.choice(words)
        roles = ("admin", "account_manager", "user", "manager", "lead", "reviewer", "agent", "any lead", "anyone")
        instead = {"allow": "deny", "deny": "allow"}.get(found[0]) or self._random.choice(roles)
        return text[: found.start()] + instead + text[found.end() :]

    def _with_fault(self, text: str) -> str:
        lines = text.splitlines(keepends=True)
        lines.insert(self._random.randrange(len(lines) + 1), "  - {\n")
        return "".join(lines)

    def _commit(self, number: int, shipped: Mapping[str, str], parent: int | None = None, merged: int | None = None) -> str:
        who = f"Ann <ann@example.com> {1767600000 + 60 * number} +0000\n"
        lines = f"commit refs/heads/main\nmark :{number + 1}\nauthor {who}committer {who}{_data(f'Commit {number}')}"
        if parent is not None:
            lines += f"from :{parent + 1}\n"
        if merged is not None and merged != parent:
            lines += f"merge :{merged + 1}\n"
        return lines + "deleteall\n" + "".join(f"M 644 inline {path}\n{_data(text)}" for path, text in shipped.items())


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"

"""Reading the cases of `tests/cases/problems`: a policy set in one text, with the problems that it must give.

Those of `tests/cases/lint` are written alike, and give what `klausel check` says of a set without errors.

The first block holds a remark (lines that start with `#`) and the expected problems, in order, one a line:
`file:line:column id part of the message`; no such line for a set without problems. Then each file follows behind its name,
`-- features/x.yaml --`. `(bytes)` behind the name: the text has Python's escapes for bytes, such as `\\xef`. `(absent)`:
there is no such file. `+1/` in front of a name: the file stands in a second folder, which is joined to the first. Files that
a case does not name are those of `_base.txt`.

`python tests/helpers/problem_cases.py` writes the first blocks again, from what the loader says; read the difference in git.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from klausel.casbin_policies.engine import compile_policy
from klausel.casbin_policies.model_shape import problems_in_model
from klausel.core.lint.registry import WARNINGS, lint
from klausel.core.lint.rules.switch_off import without_switched_off
from klausel.core.loading.load import LoadResult, SourceFile, load_policy
from klausel.core.terms.problem import Problem
from klausel.core.testing.gate import unmet_expectations

FOLDER = Path(__file__).parents[1] / "cases" / "problems"
MODEL = Path(__file__).parents[2] / "model.conf"
LINT_FOLDER = FOLDER.parent / "lint"
BASE = "_base.txt"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
_LATER = re.compile(r"\+(\d)/")
_FILE = re.compile(r"^-- (\S+?)(?: \((bytes|absent)\))? --\n", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """One case; `expected` are the lines of its first block, `files` the bytes by name inside the folder."""

    name: str
    expected: tuple[str, ...]
    files: dict[str, bytes]

    def load(self) -> LoadResult:
        """What the loader says, with the problems of the model when the case has one, and unmet tests and invariants."""
        model = self.files.get("model.conf")
        of_model = problems_in_model(model.decode(), shown("model.conf")) if model is not None else []
        result = load_policy(source_files(self.files), of_model)
        if result.policy is None or not (result.tests or result.policy.invariants):
            return result
        compiled = compile_policy(result.policy, MODEL.read_text(encoding="utf-8"))
        unmet = tuple(unmet_expectations(result.policy, compiled, result.tests))
        return LoadResult(None, tuple(sorted(result.problems + unmet))) if unmet else result

    def check(self) -> list[Problem]:
        """What the loader and lint say, without what comments switch off; the set has no errors."""
        texts = {shown(name): content.decode() for name, content in self.files.items()}
        loaded = self.load()
        return without_switched_off(
            [*loaded.problems, *lint(loaded.or_raise(), loaded.tests, now=NOW)], texts, known=WARNINGS
        )


def shown(name: str) -> str:
    """The name of a file of a case as problems show it."""
    return f"policies/{name}"


def source_files(files: dict[str, bytes]) -> list[SourceFile]:
    """The files as the loader takes them."""
    found = []
    for name, content in files.items():
        later = _LATER.match(name)
        layer = int(later[1]) if later else 0
        found.append(SourceFile(name[later.end() if later else 0 :], shown(name), content, layer))
    return found


def as_expected(problem: Problem) -> str:
    """A problem as the first block of a case has it."""
    place = problem.place
    return f"{place.file.removeprefix('policies/')}:{place.line}:{place.column} {problem.id} {problem.message}"


def read_case(path: Path) -> Case:
    """The case in a file."""
    head, *parts = _FILE.split(path.read_text(encoding="utf-8"))
    expected = tuple(line for line in head.splitlines() if line.strip() and not line.startswith("#"))
    files = dict(read_case(path.parent / BASE).files) if path.name != BASE else {}
    for name, flag, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if flag == "absent":
            files.pop(name)
        elif flag == "bytes":
            files[name] = text.encode("ascii").decode("unicode_escape").encode("latin-1")
        else:
            files[name] = text.encode()
    return Case(path.stem, expected, files)


def all_cases(folder: Path = FOLDER) -> list[Case]:
    """Every case of a folder, by name."""
    return [read_case(path) for path in sorted(folder.glob("*.txt")) if path.name != BASE]


def write_expected() -> None:
    """Writes what the loader, or check, says into every case."""
    said = [(FOLDER, case, case.load().problems) for case in all_cases()]
    for folder, case, problems in [*said, *((LINT_FOLDER, case, case.check()) for case in all_cases(LINT_FOLDER))]:
        path = folder / f"{case.name}.txt"
        text = path.read_text(encoding="utf-8")
        head = text[: text.index("-- ")]
        remarks = [line for line in head.splitlines() if line.startswith("#")]
        block = "\n".join([*remarks, *map(as_expected, problems)])
        path.write_text(f"{block}\n\n{text[len(head) :]}" if block else text[len(head) :], encoding="utf-8")


if __name__ == "__main__":
    write_expected()

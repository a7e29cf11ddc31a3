"""The code knows no word of the policies that it comes with: other levels, roles and types are a change of files."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from klausel.core.policy.policy_set import PolicySet
from klausel.service.pipeline import open_policy

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "server" / "klausel").rglob("*.py"))

# Words of the field, of HTTP and of databases, which the code uses in their own sense: the role manager of Casbin, the user
# of a database, a group of a regular expression, the account that a leaver leaves (`?account=`), role assignments, the
# access review.
WORDS_OF_THE_FIELD = {"account", "group", "manager", "review", "role_assignment", "user"}
EXAMPLES_IN_MESSAGES = {"acme/support", "user:ann"}
MEMBERS_OF_AUTHZEN = {"reason_admin"}
# The Language Server Protocol calls the folder that an editor has open a workspace.
WORDS_OF_PROTOCOLS = {
    "server/klausel/cli/language_server/server.py": {"workspace", "WorkspaceEdit", "WORKSPACE_DID_CHANGE_WATCHED_FILES"}
}
# Who decides in an access review is its reviewer, in the files about sheets of reviews alone; elsewhere that is a role.
FILES_OF_ACCESS_REVIEWS = {"review_files.py", "review_sheet.py"}


def words_of(policy: PolicySet) -> set[str]:
    """The names that the shipped policies declare; actions are common verbs and may be anywhere."""
    named = {*policy.roles.roles, *policy.resource_types, *policy.conditions, *(level.name for level in policy.roles.levels)}
    return {part for name in named - WORDS_OF_THE_FIELD for part in (name, name.replace("_", " "))}


@pytest.fixture(scope="module")
def words() -> re.Pattern[str]:
    policy = open_policy(ROOT / "policies", ROOT / "model.conf").compiled.policy
    found = words_of(policy)
    assert {"quiz", "workspace", "lead", "reviewer", "agent", "dispute", "coaching session"} <= found
    plural = "|".join(sorted(map(re.escape, found), key=len, reverse=True))
    return re.compile(rf"(?<![a-z])({plural})(?:z?e?s)?(?![a-z])", re.IGNORECASE)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT / "server").as_posix())
def test_no_name_and_no_text_in_the_code_is_a_word_of_the_shipped_policies(file: Path, words: re.Pattern[str]) -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}: {text}"
        for line, text in names_and_texts(ast.parse(file.read_text(encoding="utf-8")))
        if words.search(_without_words_of_its_field(file, text))
    ]
    assert found == []


def _without_words_of_its_field(file: Path, text: str) -> str:
    """A text, empty where it is a word of a protocol that its file speaks."""
    if text in WORDS_OF_PROTOCOLS.get(file.relative_to(ROOT).as_posix(), ()):
        return ""
    return re.sub("reviewer", "", text, flags=re.IGNORECASE) if file.name in FILES_OF_ACCESS_REVIEWS else text


def names_and_texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every identifier and text with its line; without docstrings, and without the help of the command line."""
    passed_over = set(_docstrings_and_help(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in passed_over:
                yield node.lineno, _without_examples(node.value)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.alias):
            yield node.lineno, f"{node.name} {node.asname or ''}"
        elif isinstance(node, ast.keyword | ast.arg) and node.arg:
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name | ast.Attribute):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr


def _docstrings_and_help(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield id(node.value)
        elif isinstance(node, ast.keyword) and node.arg == "help":
            yield from (id(part) for part in ast.walk(node.value))


def _without_examples(text: str) -> str:
    for example in EXAMPLES_IN_MESSAGES | MEMBERS_OF_AUTHZEN:
        text = text.replace(example, "")
    return text


def test_a_word_of_the_policies_would_be_found(words: re.Pattern[str]) -> None:
    code = 'class QuizList:\n    "A quiz."\n    workspaces = ["is lead of", option(help="such as a quiz")]\n'
    assert [text for _, text in names_and_texts(ast.parse(code)) if words.search(text)] == ["workspaces", "is lead of"]
    assert words.search("may_lead") and words.search("the Quizzes") and not words.search("leading pinned")


def test_what_the_project_says_names_no_place_outside_of_it() -> None:
    files = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("policies/**/*.*"), *FILES]
    files += [ROOT / "scripts" / name for name in ("serve", "test", "lint", "environment.sh")]
    for file in files:
        found = re.search(r"(?<![\w.:/])/(?:home|mnt|root|srv)/|\bissue #?\d", file.read_text(encoding="utf-8"))
        assert found is None, f"{file}: {found}"

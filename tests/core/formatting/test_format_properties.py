"""Whatever is done to how the shipped files are written, their canonical form is the same, and loses nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from klausel.casbin_policies.rows import meaning_digest
from klausel.core.formatting.files import can_be_formatted, format_file, kind_of_file
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.terms.problem import PolicyError
from klausel.storage.policy_files.folder import read_files

ROOT = Path(__file__).parents[3]
SHIPPED_FOLDERS = [ROOT / "policies", ROOT / "server" / "klausel" / "starter" / "policies"]
FOLDERS = [*SHIPPED_FOLDERS, *sorted((ROOT / "tests" / "cases" / "products").glob("*/policies"))]
FILES = [
    file for folder in FOLDERS for file in read_files(folder, ROOT / "model.conf")[0] if can_be_formatted(file.name)
]  # fmt: skip
SHIPPED = [file for folder in SHIPPED_FOLDERS for file in read_files(folder, ROOT / "model.conf")[0]]
YAML_FILES = [file for file in FILES if kind_of_file(file.name)]
ORDERED_BY_MEANING = [{"allow", "to"}, {"deny", "to"}, {"name", "resource"}, {"description", "grants"}, {"type", "in"}]
WORDS = (
    "#", " # x", "# x\n", "\n", "\n\n", " ", "  ", "'", '"', "[", "]", "{", "}", ", ", ": ", "- ", "? ", "|\n", ">-\n", "~",
    "null", "\\", "true", "012", "%", "@", "*a", "&a ", "!x ", "---\n", "...\n", "\t", "\r\n", "é", "\u2028", "<<: ", "=",
)  # fmt: skip
SLOW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def canonical(file: SourceFile, text: str | None = None) -> str:
    """The canonical form, which is that of itself."""
    content = file.content if text is None else text.encode()
    once = format_file(SourceFile(file.name, file.shown_as, content))
    assert format_file(SourceFile(file.name, file.shown_as, once)) == once
    return once.decode()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_the_canonical_files_mean_the_same(folder: Path) -> None:
    files = [file for file in read_files(folder, ROOT / "model.conf")[0] if file.name != "model.conf"]
    anew = [SourceFile(file.name, file.shown_as, format_file(file)) for file in files]
    before, after = load_policy(files), load_policy(anew)
    assert meaning_digest(before.or_raise()) == meaning_digest(after.or_raise())
    assert [test.name for test in before.tests] == [test.name for test in after.tests]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.shown_as)
def test_the_canonical_form_has_no_blanks_at_the_end_of_lines_and_one_line_end_at_its_own(file: SourceFile) -> None:
    text = canonical(file)
    assert text == "\n".join(line.rstrip() for line in text.split("\n"))
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.shown_as)
def test_the_shipped_files_are_canonical(file: SourceFile) -> None:
    if can_be_formatted(file.name):
        assert canonical(file) == file.content.decode(), "run klausel fmt"


def rewritten(text: str, chance: random.Random) -> str:
    """The same nodes in another style, without comments."""
    node = yaml.compose(text, yaml.BaseLoader)
    assert node is not None
    _restyle(node, chance, is_inside_brackets=False)
    return str(
        yaml.serialize(
            node,
            Dumper=yaml.BaseDumper,
            allow_unicode=True,
            width=chance.choice((20, 80, 1000)),
            indent=chance.choice((2, 3, 4)),
        )
    )


def _restyle(node: yaml.Node, chance: random.Random, is_inside_brackets: bool) -> None:
    if isinstance(node, yaml.ScalarNode):
        if node.value.replace("_", "").replace(" ", "").isalpha() and node.value not in ("true", "false", "null"):
            node.style = chance.choice((None, "'", '"', None if is_inside_brackets else ">"))
        return
    assert isinstance(node, yaml.CollectionNode)
    node.flow_style = is_inside_brackets or chance.random() < 0.3
    if isinstance(node, yaml.MappingNode):
        names = {key.value for key, _ in node.value}
        if any(one <= names for one in ORDERED_BY_MEANING):
            keep = {"type", "in", "id"} if "type" in names else names
            moved = [pair for pair in node.value if pair[0].value in keep]
            chance.shuffle(moved)
            node.value = [*moved, *(pair for pair in node.value if pair[0].value not in keep)]
        for key, value in node.value:
            key.style = chance.choice((None, "'", '"'))
            _restyle(value, chance, node.flow_style)
    else:
        for item in node.value:
            _restyle(item, chance, node.flow_style)


@SLOW
@given(st.sampled_from(YAML_FILES), st.integers(0, 2**32))
def test_the_same_nodes_in_any_style_have_one_form(file: SourceFile, seed: int) -> None:
    plain = canonical(file, str(yaml.serialize(yaml.compose(file.content, yaml.BaseLoader), Dumper=yaml.BaseDumper)))
    assert canonical(file, rewritten(file.content.decode(), random.Random(seed))) == plain


@SLOW
@given(st.sampled_from(YAML_FILES), st.integers(0, 2**32), st.booleans(), st.booleans())
def test_no_comment_is_lost_wherever_it_stands(file: SourceFile, seed: int, is_restyled: bool, has_blanks: bool) -> None:
    chance = random.Random(seed)
    text = rewritten(file.content.decode(), chance) if is_restyled else file.content.decode()
    nodes = yaml.compose(text, yaml.BaseLoader)
    planted = []
    lines = text.splitlines()
    for number in range(chance.randint(1, 6)):
        comment = f"# planted {number}"
        at = chance.randrange(len(lines) + 1)
        tried = [*lines]
        if chance.random() < 0.5 and at < len(lines):
            tried[at] = f"{tried[at]}  {comment}"
        else:
            alone = [" " * chance.randint(0, 10) + comment]
            blank = [""] if has_blanks and chance.random() < 0.5 else []
            tried[at:at] = [*blank, *alone, *blank]
        try:
            is_comment = yaml.serialize(yaml.compose("\n".join(tried), yaml.BaseLoader)) == yaml.serialize(nodes)
        except yaml.YAMLError:
            is_comment = False
        if is_comment:
            lines = tried
            planted.append(comment)
    result = canonical(file, "\n".join(lines))
    for comment in planted:
        assert result.count(comment) == 1
    assert yaml.compose(result, yaml.BaseLoader) is not None


@SLOW
@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from(WORDS), st.integers(0, 3)), min_size=1, max_size=3),
)
def test_a_random_edit_is_refused_or_has_one_form(file: SourceFile, edits: list[tuple[float, str, int]]) -> None:
    text = file.content.decode()
    for where, word, removed in edits:
        at = int(where * len(text))
        text = text[:at] + word + text[at + removed :]
    try:
        canonical(file, text)
    except PolicyError as error:
        assert error.problems

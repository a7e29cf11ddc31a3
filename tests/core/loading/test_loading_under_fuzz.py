"""Random edits of the shipped policies: loading never raises, and what loads says what a plain reader sees in the files."""

from __future__ import annotations

import csv
import io
from collections import Counter
from functools import lru_cache
from pathlib import Path

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from klausel.casbin_policies.rows import grant_rows, meaning_digest
from klausel.core.conditions.parser import parse_condition
from klausel.core.conditions.tree import Condition
from klausel.core.loading.load import LoadResult, SourceFile, load_policy
from klausel.core.policy.policy_set import PolicySet

POLICIES = Path(__file__).parents[3] / "policies"
PATHS = [POLICIES / "roles.yaml", POLICIES / "conditions.yaml", *sorted((POLICIES / "features").glob("*.yaml"))]
SHIPPED = {path.relative_to(POLICIES).as_posix(): path.read_bytes() for path in PATHS}
WORDS = (
    b"allow", b"deny", b"Deny", b"to", b"when", b"in", b"at_level", b"resource", b"any ", b"anyone", b"lead", b"agent",
    b"admin", b"view", b"edit", b"quiz", b"is_published", b"not ", b" and ", b" or ", b"== ", b'"', b"'", b"#", b" # ", b"*",
    b"&a ", b"*a", b"!x ", b"<<: ", b"~", b"null", b"[", b"]", b"{", b"}", b", ", b": ", b"- ", b"---\n", b"\n", b"\r\n",
    b"\r", b"\t", b"  ", b"|\n", b">-\n", b"? ", b"%", b"\xef\xbb\xbf", b"\xc2\x85", b"\xe2\x80\xa8", b"\xff", b"\x00",
    b"\\",
)  # fmt: skip
PLAIN = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
SLOW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

# An edit: which kind, where (as a part of the file's length or lines), and with which word.
edits = st.lists(
    st.tuples(
        st.sampled_from(("byte", "cut", "insert", "case", "delete line", "copy line", "swap lines", "move line", "indent")),
        st.floats(0, 1, exclude_max=True),
        st.floats(0, 1, exclude_max=True),
        st.one_of(st.sampled_from(WORDS), st.binary(min_size=1, max_size=3)),
    ),
    min_size=1,
    max_size=3,
)


def edited(content: bytes, edits: list[tuple[str, float, float, bytes]]) -> bytes:
    for kind, first, second, word in edits:
        at, other = (int(part * len(content)) for part in (first, second))
        lines = content.splitlines(keepends=True) or [b""]
        line, other_line = (int(part * len(lines)) for part in (first, second))
        match kind:
            case "byte":
                content = content[:at] + word[:1] + content[at + 1 :]
            case "cut":
                content = content[:at] + content[at + 1 + other % 8 :]
            case "insert":
                content = content[:at] + word + content[at:]
            case "case":
                content = content[:at] + content[at : at + 1].swapcase() + content[at + 1 :]
            case "delete line":
                content = b"".join(lines[:line] + lines[line + 1 :])
            case "copy line":
                content = b"".join([*lines[:other_line], lines[line], *lines[other_line:]])
            case "swap lines":
                lines[line], lines[other_line] = lines[other_line], lines[line]
                content = b"".join(lines)
            case "move line":
                moved = lines.pop(line)
                content = b"".join([*lines[:other_line], moved, *lines[other_line:]])
            case "indent":
                lines[line] = b" " + lines[line] if at % 2 else lines[line].removeprefix(b" ")
                content = b"".join(lines)
    return content


def load(files: dict[str, bytes]) -> LoadResult:
    return load_policy(SourceFile(name, f"policies/{name}", content) for name, content in files.items())


@lru_cache(maxsize=64)
def plainly_read(content: bytes) -> dict[str, object]:
    """The file as PyYAML's own reader sees it, every scalar as text."""
    return yaml.load(content.decode(), Loader=PLAIN) or {}


def as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def plain_grants(content: bytes) -> Counter[tuple[object, ...]]:
    """The grants of a YAML feature file, read without any of our code."""
    read = plainly_read(content)
    return Counter(
        (effect, grantee, action, grant["resource"], grant.get("in", "*"), grant.get("at_level"), text_of(grant.get("when")))
        for grant in read.get("grants") or []
        for effect in ("allow", "deny")
        for grantee in as_list(grant.get(effect, []))
        for action in as_list(grant["to"])
    )


def text_of(condition: object) -> str:
    return str(condition or "").strip()


def loaded_grants(policy: PolicySet) -> Counter[tuple[object, ...]]:
    return Counter(
        (
            grant.effect,
            grant.grantee,
            grant.action,
            grant.resource_type,
            grant.scope.domain or "*",
            grant.scope.level,
            grant.condition_text,
        )
        for grant in policy.grants
    )


def check_against_plain_reading(policy: PolicySet, files: dict[str, bytes]) -> None:
    grants: Counter[tuple[object, ...]] = Counter()
    for name, content in files.items():
        if name.startswith("features/"):
            grants += plain_grants(content)
    assert loaded_grants(policy) == grants
    roles = plainly_read(files["roles.yaml"])
    assert list(policy.roles.roles) == list(roles.get("roles") or {})
    assert [level.name for level in policy.roles.levels] == list(roles["levels"])
    for name, role in policy.roles.roles.items():
        written = roles["roles"][name]
        assert (role.level, list(role.contains)) == (written["level"], as_list(written.get("contains", [])))
        assert role.keep_one == (written.get("keep_one") == "true")
    conditions = plainly_read(files["conditions.yaml"])
    assert {name: named.text for name, named in policy.conditions.items()} == {
        name: text_of(text) for name, text in conditions.items()
    }


@SLOW
@given(st.sampled_from(sorted(SHIPPED)), edits)
@example("features/quizzes.yaml", [("insert", 0.5, 0, b"\xef\xbb\xbf")])
def test_an_edited_yaml_file_is_refused_or_means_what_it_says(
    name: str, changes: list[tuple[str, float, float, bytes]]
) -> None:
    files = {**SHIPPED, name: edited(SHIPPED[name], changes)}
    result = load(files)
    assert list(result.problems) == sorted(set(result.problems))
    assert all(str(problem).isprintable() for problem in result.problems)
    if result.policy is not None:
        check_against_plain_reading(result.policy, files)
    else:
        assert any(problem.severity == "error" for problem in result.problems)


def csv_of(policy: PolicySet) -> bytes:
    """All grants of a policy set as CSV, every third one quoted in all fields."""
    text = io.StringIO()
    for number, grant in enumerate(policy.grants):
        quoting = csv.QUOTE_ALL if number % 3 == 0 else csv.QUOTE_MINIMAL
        condition = grant.condition_text or "true"
        row = ("p", grant.grantee, str(grant.scope), grant.resource_type, grant.action, condition, grant.effect)
        csv.writer(text, quoting=quoting, lineterminator="\n").writerow(row)
    return text.getvalue().encode()


def without_grants(content: bytes) -> bytes:
    return content.partition(b"\ngrants:")[0] + b"\n"


ALL = load(SHIPPED).or_raise()
IN_CSV = csv_of(ALL)
DECLARATIONS = {name: without_grants(content) for name, content in SHIPPED.items()}


def test_all_shipped_grants_mean_the_same_in_csv() -> None:
    policy = load({**DECLARATIONS, "features/all.csv": IN_CSV}).or_raise()
    assert meaning_digest(policy) == meaning_digest(ALL)
    assert len(grant_rows(policy)) == len(grant_rows(ALL))


@SLOW
@given(edits)
def test_an_edited_csv_file_is_refused_or_means_what_a_plain_reader_sees(
    changes: list[tuple[str, float, float, bytes]],
) -> None:
    content = edited(IN_CSV, changes)
    policy = load({**DECLARATIONS, "features/all.csv": content}).policy
    if policy is None or b"\t" in content:  # the plain reader knows no tab before a quote
        return
    rows = [
        [field.strip(" \t") for field in row]
        for row in csv.reader(io.StringIO(content.decode(), newline=""), skipinitialspace=True)
        if row and not row[0].strip().startswith("#") and "".join(row).strip()
    ]
    grants = [tuple(row[1:]) for row in rows if row[0] == "p"]
    links = [row for row in rows if row[0] == "g"]
    assert len(grants) + len(links) == len(rows)
    made = [
        (grant.grantee, str(grant.scope), grant.resource_type, grant.action, grant.condition_text or "true", grant.effect)
        for grant in policy.grants
    ]
    # A condition that is left out and `true` say the same.
    assert made == [(*row[:4], row[4].strip() or "true", row[5]) for row in grants]


@SLOW
@given(st.dictionaries(st.sampled_from([*SHIPPED, "features/x.csv"]), st.binary(max_size=200), max_size=3))
def test_files_of_random_bytes_never_raise(files: dict[str, bytes]) -> None:
    load({**SHIPPED, **files})


@SLOW
@given(st.lists(st.sampled_from(WORDS), max_size=30))
def test_files_of_random_words_never_raise(words: list[bytes]) -> None:
    content = b"".join(words)
    load({**SHIPPED, "features/x.csv": content, "features/x.yaml": content, "conditions.yaml": content})


def no_names(name: str) -> Condition | None:
    return None


def test_every_shipped_condition_reads_back_from_its_tree() -> None:
    for named in ALL.conditions.values():
        assert parse_condition(str(named.tree), no_names, {}) == named.tree

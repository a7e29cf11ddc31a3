"""`klausel diff`, `log`, `review` and `findings` tell the same facts in every format that they have, read back from each."""

from __future__ import annotations

import csv
import html
import json
import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from random import Random

import pytest
from command_line import run as klausel
from generated_pairs import Side, pair
from git_in_tests import FILES, MODEL, Repository

Row = tuple[str, ...]
PEOPLE = """\
subject,role,domain
user:ann,boss,acme
user:bob,clerk,acme/red
user:cy,guide,acme/red/acme
group:all,guest,acme
user:ann,group:all,
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests bring policies of their own."""
    monkeypatch.chdir(tmp_path)


class _Page(HTMLParser):
    """The rows of a page, each cell as text, with what stands in paragraphs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.paragraphs: list[str] = []
        self._into: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th", "p"):
            self._into = self.rows[-1] if tag != "p" else self.paragraphs
            self._into.append("")
        elif tag == "div" and self._into is not None:
            self._into[-1] += "\n"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "p"):
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into[-1] += data


def of_markdown(text: str) -> str:
    return html.unescape(text).strip()


Told = tuple[str, str, str, str, str, str]
"""A change: sign, actions and type, who and where, before, after with the relation, people."""


def told_in_text(text: str) -> list[Told]:
    found: list[Told] = []
    lines = iter(text.splitlines())
    type_ = ""
    for line in lines:
        if re.match(r"  [-+±] ", line):
            actions, _, who = line[4:].partition(": ")
            before, _, after = next(lines).strip().partition(" → ")
            people = next(lines).strip().removeprefix("people: ")
            found.append((line[2], f"{actions} {type_}", who, before, after, people))
        elif re.match(r"\w+$", line):
            type_ = line
    return found


def told_in_markdown(text: str) -> list[Told]:
    rows = [re.split(r" \| ", line.strip("| ")) for line in text.splitlines() if re.match(r"\| [➕➖±]", line)]
    signs = {"➕": "+", "➖": "-", "±": "±"}
    return [
        (
            signs[row[0]],
            of_markdown(row[1]).replace("**", ""),
            of_markdown(row[2]),
            of_markdown(row[3]),
            of_markdown(row[4].replace("*", "")),
            of_markdown(row[5]).split("; +")[0].split("; -")[0],
        )
        for row in rows
    ]


def told_in_page(page: _Page) -> list[Told]:
    signs = {"more": "+", "less": "-", "more and less": "±"}
    return [
        (signs[row[0]], row[1].split("\n")[0], row[2], row[3], row[4], row[5].split("\n")[0])
        for row in page.rows
        if row[0] in signs
    ]


def told_in_json(found: dict[str, list[dict[str, object]]]) -> set[tuple[object, ...]]:
    """Each change as far as the other formats write it word for word."""
    return {
        ("±" if one["gain"] and one["loss"] else "+" if one["gain"] else "-", f"{one['action']} {one['resource_type']}")
        for one in found["changes"]
        if one["counts_with"] is None
    }


def put(folder: Path, files: dict[str, str]) -> None:
    for name, text in {**{f"policies/{key}": value for key, value in files.items()}, "model.conf": MODEL}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def loads(folder: str) -> bool:
    return klausel("check", folder).exit_code == 0


def test_a_difference_is_the_same_in_every_format(tmp_path: Path) -> None:
    compared = 0
    for seed in range(24):
        sides = [tmp_path / str(seed) / side for side in ("before", "after")]
        for side, files in zip(sides, pair(seed), strict=True):
            put(side, files)
        names = [str(side / "policies") for side in sides]
        if not all(map(loads, names)):
            continue
        database = f"sqlite:///{tmp_path}/{seed}.db"
        (tmp_path / "people.csv").write_text(PEOPLE)
        known = [line for line in PEOPLE.splitlines() if not line.startswith("user:cy")]
        (tmp_path / "people.csv").write_text("\n".join(known))
        klausel("assignments", "import", "people.csv", "--policies", names[0], "--database", database)

        def diff(format_: str, names: Sequence[str] = names, database: str = database) -> str:
            return str(klausel("diff", *names, "--names", "--database", database, "--format", format_).stdout)

        text, as_json, page = diff("text"), json.loads(diff("json")), _Page(diff("html"))
        markdown = diff("markdown")
        told = told_in_text(text)
        assert told_in_markdown(markdown) == told == told_in_page(page), seed
        singly = {(sign, f"{action} {type_}") for sign, what, *_ in told for type_, action in _singly(what)}
        assert singly == told_in_json(as_json), seed
        notes = [line.removeprefix("note: ") for line in text.splitlines() if line.startswith("note: ")]
        assert [of_markdown(line[2:]) for line in markdown.splitlines() if line.startswith("> ")] == notes
        assert all(note in page.paragraphs for note in notes)
        headline = text.splitlines()[1]
        assert of_markdown(markdown.splitlines()[0]) == f"### Policy: {headline}"
        for rule in (*as_json["changed_rules"], *as_json["former_names"], *as_json["changed_types"]):
            assert rule in notes
        people = as_json["people"]
        counts = [people[name] for name in ("gain", "lose", "groups_gain", "groups_lose")]
        everybody = next(line for line in text.splitlines() if line.startswith("people: "))
        assert [int(number) for number in re.findall(r"\d+", everybody)] == [number for number in counts if number], seed
        assert everybody.replace("people", "People") in page.paragraphs
        assert everybody.replace("people", "People") in html.unescape(markdown)
        compared += bool(told)
    assert compared >= 12


def _singly(what: str) -> Iterator[tuple[str, str]]:
    actions, _, type_ = what.rpartition(" ")
    yield from ((type_, action) for action in actions.split(", "))


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Random changes of grants, roles and levels; a condition that keeps its name; invariants, entities, groups of providers."""
    made = Repository(tmp_path / "repo")
    side = Side(Random(7))
    extra: dict[str, str] = {}
    for number in range(14):
        side.change()
        if number == 3:
            extra["policies/invariants.yaml"] = "invariants:\n  - {name: calm, never: outsider, to: view, resource: doc}\n"
        elif number == 5:
            extra["policies/provisioning.yaml"] = "subject_from: userName\ngroups: {}\n"
        elif number == 6:
            stored = "stored:\n  resources: [doc]\n"
            extra["policies/properties.yaml"] = stored
            extra["policies/entities.yaml"] = "resources:\n  - {type: doc, id: one, in: acme, properties: {kind: a}}\n"
        elif number == 8:
            extra["policies/entities.yaml"] = "resources:\n  - {type: doc, id: one, in: acme, properties: {kind: b}}\n"
        elif number == 10:
            extra["policies/invariants.yaml"] = "invariants: []\n"
        files = {f"policies/{name}": text for name, text in side.texts().items()}
        if number == 11:
            files["policies/roles.yaml"] = "levels: {"
        made.commit(
            {**files, **extra, "model.conf": MODEL}, f"Change {number}, of one thing; and more\n\nReviewed-by: Bo <b@x>"
        )
    monkeypatch.chdir(made.folder)
    return made


def test_a_log_is_the_same_in_every_format(history: Repository) -> None:
    (history.folder / "people.csv").write_text("subject,role,domain\n")
    lines = [json.loads(line) for line in klausel("log", "--format", "json").stdout.splitlines()]
    rows = list(csv.DictReader(klausel("log", "--format", "csv").stdout.splitlines()))
    head, *cells = _Page(klausel("log", "--format", "html").stdout).rows
    shown = [dict(zip(head, one, strict=True)) for one in cells]
    text = re.split(r"^(?=[0-9a-f]{12}  )", klausel("log").stdout, flags=re.MULTILINE)[1:]
    assert len(lines) == len(text) >= 10
    assert list(dict.fromkeys(row["commit"] for row in rows)) == [line["commit"]["id"] for line in lines]
    assert [(row["commit"][:12], row["kind"]) for row in rows] == [(row["commit"], row["kind"]) for row in shown]
    kinds = set()
    for line, told in zip(lines, text, strict=True):
        own = [row for row in rows if row["commit"] == line["commit"]["id"]]
        kinds |= {row["kind"] for row in own}
        sentences = {
            "does not load": [one for one in line["problems"] if ": error:" in one],
            "removed": line["declared"]["removed"],
            "added": line["declared"]["added"],
            "rule": [rule["text"] for rule in line["rules"]],
            "entity": line["changed_entities"],
        }
        for kind, said in sentences.items():
            assert [row["after"] for row in own if row["kind"] == kind] == list(said)
            assert all(one in told for one in said[:1])
        for note in (row["after"] for row in own if row["kind"] == "note"):
            assert note in told
        changed = [row for row in own if row["kind"] in ("gain", "loss", "gain and loss")]
        assert [(row["resource type"], row["action"], row["relation"]) for row in changed] == [
            (one["resource_type"], one["action"], one["relation"]) for one in line["changes"]
        ]
        for row, one in zip(changed, line["changes"], strict=True):
            assert row["before"] in (one["before"]["text"], one["before"]["full"])
            assert row["after"] in (one["after"]["text"], one["after"]["full"])
            assert row["before"] != row["after"]
            assert bool(row["where"]) == (not one["everywhere"])
            assert all(name in row["who"] for name in (*one["who"], *one["with_it"]))
            assert (" together with " in row["who"]) == one["together"] or one["counts_with"] is not None
            if one["counts_with"] is None:
                assert f"{row['before']} → {row['after']}" in told
    page = klausel("log", "--type", "doc", "--since", "2026-01-01", "--format", "html").stdout
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd><code>(.*?)</code></dd>", page))
    newest = history.git("rev-parse", "HEAD")
    told_facts = {name: re.sub("<.*?>", "", text) for name, text in facts.items()}
    assert told_facts == {
        "policies": "policies",
        "commits up to": f"{newest}, 2026-01-05",
        "made from": "2026-01-01T00:00:00.000000Z",
        "about": "doc",
        "commits": "all",
        "checked": "no",
    }
    # A page says the same, only shorter.
    for row, seen in zip(rows, shown, strict=True):
        place = f" ({row['where']})" if row["where"] else ""
        assert seen["who"] == f"{row['who']}{place}"
        relation = "" if row["relation"] in ("", "gained", "lost") else f" ({row['relation']})"
        assert (seen["before"], seen["after"]) == (row["before"], f"{row['after']}{relation}")
        assert seen["subject"] == row["subject"]
        assert seen["trailers"] == row["trailers"] == "Reviewed-by: Bo <b@x>"
    assert kinds >= {"gain", "loss", "added", "removed", "rule", "entity", "does not load", "note"}


def test_a_commit_that_changes_only_who_is_given_roles_or_what_entities_are_is_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Repository(tmp_path / "repo")
    made.commit(FILES, "Clerks read letters")
    monkeypatch.chdir(made.folder)
    stored = {"policies/properties.yaml": "stored:\n  resources: [letter]\n"}
    given = "subject_from: userName\ngroups:\n  Clerks: {acme: clerk}\n"
    written = "resources:\n  - {type: letter, id: one, in: acme, properties: {kind: a}}\n"
    made.commit({**stored, "policies/provisioning.yaml": given, "policies/entities.yaml": written})
    made.commit({"policies/provisioning.yaml": given.replace("clerk}", "boss}")}, "Clerks are bosses")
    made.commit({"policies/entities.yaml": written.replace("kind: a", "kind: b")}, "Another letter")
    assert klausel("check").exit_code == 0
    last, before, *_ = (json.loads(line) for line in klausel("log", "--format", "json").stdout.splitlines())
    said = 'what is written of the resource letter:one: kind is "b"; it was "a" (policies/entities.yaml:2)'
    assert (last["commit"]["subject"], last["changed_entities"]) == ("Another letter", [said])
    assert (before["commit"]["subject"], before["rules"]) == (
        "Clerks are bosses",
        [
            {"movement": "stronger", "text": CHANGED.format("no longer give clerk")},
            {"movement": "weaker", "text": CHANGED.format("now give boss")},
        ],
    )
    told = klausel("log", "-n", "2").stdout
    assert f"  ~ {said}" in told
    assert f"  ~ {CHANGED.format('now give boss')}" in told
    # An entity is looked at where its type is asked about; who is given roles, where a role is.
    assert "Another letter" in klausel("log", "--type", "letter").stdout
    assert "Another letter" not in klausel("log", "--type", "parcel").stdout
    assert "Clerks are bosses" in klausel("log", "--role", "boss", "-n", "1").stdout


def test_weakened_leaves_the_commits_by_which_a_rule_demands_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Repository(tmp_path / "repo")
    made.commit(FILES, "Clerks read letters")
    monkeypatch.chdir(made.folder)
    rule = "invariants:\n  - {name: Bosses burn, at_most: boss, to: burn, resource: letter}\n"
    made.commit({"policies/invariants.yaml": rule + "  - separate: [boss, clerk]\n"}, "Two rules")
    made.replace("policies/features/letters.yaml", "to: read", "to: [read, write]", "Clerks write")
    made.replace("policies/invariants.yaml", "at_most: boss", "at_most: clerk", "Clerks may be let burn")
    made.replace("policies/roles.yaml", "level: house, contains: clerk", "level: house, keep_one: true", "One boss stays")
    made.replace("policies/invariants.yaml", "  - separate: [boss, clerk]\n", "", "Nothing is apart")
    made.replace("policies/roles.yaml", ", keep_one: true", "", "No boss need stay")
    asked = ("log", "--weakened", "--format", "json")
    weakened = [json.loads(line)["commit"]["subject"] for line in klausel(*asked).stdout.splitlines()]
    assert weakened == ["No boss need stay", "Nothing is apart", "Clerks may be let burn"]
    for again in (asked, (*asked, "--type", "letter", "-n", "1")):
        subjects = [json.loads(line)["commit"]["subject"] for line in klausel(*again).stdout.splitlines()]
        assert subjects == (weakened if again is asked else ["Clerks may be let burn"])


CHANGED = 'provisioning: groups called "Clerks" {} in acme (policies/provisioning.yaml:3)'


def test_findings_are_the_same_in_every_format(tmp_path: Path) -> None:
    roles = "levels: {house: {named_by: house}}\nroles:\n  boss: {level: house, keep_one: true}\n  clerk: {level: house}\n"
    put(tmp_path, {"roles.yaml": roles, "features/a.yaml": "resource_types: {doc: {actions: [view]}}\n"})
    rows = "user:ann,boss,acme,,\nuser:=1+1,boss,blue,,\nuser:bob,clerk,acme,,2020-01-01T00:00:00Z\n"
    (tmp_path / "people.csv").write_text(f"subject,role,domain,from,until\n{rows}")
    done = klausel("assignments", "import", "people.csv")
    assert done.exit_code == 0, done.output
    found = json.loads(klausel("findings", "--format", "json").stdout)["findings"]
    as_json = [tuple(one[name] or "" for name in found[0]) for one in found]
    head, *as_csv = csv.reader(klausel("findings", "--format", "csv").stdout.splitlines())
    assert head == list(found[0])
    assert [tuple(row) for row in as_csv] == as_json
    page = _Page(klausel("findings", "--format", "html").stdout)
    assert page.rows == [head, *map(list, as_json)]
    text = klausel("findings").stdout.splitlines()
    assert text[:-1] == [line for one in found for line in (f"{one['kind']}  {one['message']}", f"  fix: {one['fix']}")]
    assert text[-1].startswith(f"{len(found)} findings: ")


@pytest.mark.parametrize("command", ["review", "matrix"])
def test_a_review_and_a_matrix_are_the_same_in_every_format(command: str, history: Repository) -> None:
    arguments = (command, *(("--since", "HEAD~2") if command == "review" else ()))
    if klausel(*arguments).exit_code:
        arguments = (command, *(("--since", "HEAD~5") if command == "review" else ()))
    as_json = json.loads(klausel(*arguments, "--format", "json").stdout)
    rows = [row["cells"] for row in as_json["rows"]]
    assert rows
    head, *as_csv = csv.reader(klausel(*arguments, "--format", "csv").stdout.splitlines())
    assert [head, *as_csv] == [as_json["columns"], *rows]
    page = _Page(klausel(*arguments, "--format", "html").stdout)
    notes = {number: text for number, _, text in (one.partition(" ") for one in page.paragraphs) if number.startswith("[")}
    assert [[_in_full(cell, notes) for cell in row] for row in page.rows if row != head] == rows
    lines = klausel(*arguments, "--format", "markdown").stdout.splitlines()
    table = [re.split(r"(?<!\\) \| ", line[2:-2]) for line in lines if line.startswith("| ")]
    noted = dict(re.findall(r"^- (\[\d+\]) (.*)$", "\n".join(lines), re.MULTILINE))
    plain = [[_plain(_in_full(cell, noted)) for cell in row] for row in table if row != table[0]]
    assert plain == [[_plain(cell) for cell in row] for row in rows]
    in_table = klausel(*arguments).stdout.splitlines()
    said = dict(re.findall(r"^(\[\d+\]) (.*)$", "\n".join(in_table), re.MULTILINE))
    wide = [re.split(r"  +", line) for line in in_table if re.match(r"(doc|site)  ", line)]
    assert [[_in_full(cell, said) for cell in row if cell] for row in wide] == [
        [cell for cell in row if cell] for row in rows
    ]


def _in_full(cell: str, notes: dict[str, str]) -> str:
    if cell == "–":
        return "no"
    first, bracket, number = cell.partition(" [")
    if bracket and first == "yes":
        return f"yes; {notes['[' + number]}"
    return notes.get(cell, cell)


def _plain(text: str) -> str:
    return text.replace("\\", "")

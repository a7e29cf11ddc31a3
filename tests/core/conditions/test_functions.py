"""One entry of the table is a function everywhere; half an entry, or one in a second place, is found."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from policy_sets import ROOT

from klausel.casbin_policies.condition_text import CASBIN_FUNCTIONS
from klausel.core.conditions.functions import FUNCTIONS, OPPOSITE, Function, Parameter
from klausel.core.conditions.parser import parse_condition
from klausel.core.conditions.tokens import ExpressionFault
from klausel.core.conditions.tree import Comparison, Condition, atoms

NEWCOMER = """

def _is_between(number: float, low: float, high: float) -> bool:
    return low <= number <= high


_NUMBER = Parameter(kinds=("number",))
_BETWEEN = Function(
    name="is_between",
    form="call",
    parameters=(_NUMBER, _NUMBER, _NUMBER),
    gives="truth",
    meaning=_is_between,
    in_casbin="is_between",
    told_by="values",
    about="A number from one to another.",
    example="is_between(resource.amount, 10, 20)",
)
FUNCTIONS = {**FUNCTIONS, _BETWEEN.name: _BETWEEN}
"""
ENVIRONMENT = {"PYTHONPATH": str(ROOT / "server")}
POLICIES = {
    "roles.yaml": "levels: {site: {constant: main}}\nroles: {clerk: {level: site}}\n",
    "features/bills.yaml": """resource_types: {bill: {actions: [pay, void, hold]}}
grants:
  - {allow: clerk, to: pay, resource: bill, when: "is_between(resource.amount, 10, 20)"}
  - {allow: clerk, to: void, resource: bill}
  - {deny: clerk, to: void, resource: bill, when: "not is_between(resource.amount, resource.low, 20)"}
  - {allow: clerk, to: hold, resource: bill, when: "not is_between(resource.amount, 1, 3)"}
""",
    "invariants.yaml": """invariants:
  - {name: large, never: clerk, to: pay, resource: bill, when: resource.amount > 20}
  - {name: small, never: clerk, to: pay, resource: bill, when: resource.amount < 15}
  - {name: order, never: clerk, to: hold, resource: bill, when: "is_between(resource.amount, 2, resource.amount)"}
  - {name: middle, always: clerk, to: pay, resource: bill, when: resource.amount == 15}
""",
    "tests/bills_test.yaml": """people: {ann: {roles: {main: clerk}}}
resources:
  good: {type: bill, amount: 15, low: 1}
  large: {type: bill, amount: 21, low: 1}
  odd: {type: bill, amount: "15", low: 1}
tests:
  - {name: good, resource: good, allowed: {ann: [pay, void, hold]}}
  - {name: large, resource: large, allowed: {ann: hold}}
  - {name: bad, resource: odd}
""",
}
ASK = """
import sys
from pathlib import Path
from klausel.casbin_policies.rows import grant_rows
from klausel.casbin_policies.engine import compile_policy, join_enforcer
from klausel.core.analysis.proof import prove_all
from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.decisions.decide import decide
from klausel.core.decisions.explain import explain
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.decisions.explanation_format import explanation_lines
from klausel.core.difference.compare import difference_between
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.core.testing.run import ResolvedRoles, failures
import casbin

folder = Path(sys.argv[1])
files = [SourceFile(str(path.relative_to(folder)), str(path), path.read_bytes()) for path in folder.rglob("*.yaml")]
loaded = load_policy(files)
assert not loaded.problems, loaded.problems
policy = loaded.or_raise()
model = Path(sys.argv[2]).read_text()
compiled = compile_policy(policy, model)
roles = EffectiveRoles.of(policy.roles, [("clerk", "main")])


def asked(amount):
    return Request(Subject("user", "ann"), Action("pay"), Resource("bill", "1", {"amount": amount}))


for amount, wanted in ((15, True), (10, True), (21, False), ("15", False), (None, False)):
    assert decide(policy, compiled, lambda _, domain: roles.roles_in(domain), asked(amount)).allowed is wanted
text = " ".join(explanation_lines(explain(policy, compiled, lambda _: roles, asked(21))))
assert "is_between(resource.amount, 10, 20) is false (resource.amount is 21)" in text, text
verdicts = {one.invariant.name: one.holds for one in prove_all(policy)}
assert verdicts == {"large": True, "small": False, "order": False, "middle": True}, verdicts
for test in loaded.tests:
    assert failures(policy, compiled, test, ResolvedRoles(policy)) == ()
rows = [row.fields[4] for row in grant_rows(policy)]
assert rows[0] == "is_between(attribute(r.obj.properties, \\"amount\\"), 10, 20)", rows
assert rows[2].startswith("!not_is_between(") or rows[2].startswith("!is_between("), rows
stock = join_enforcer(casbin.Enforcer, policy, model)
subject = Subject("user", "ann", roles=roles.roles_in("main"))
assert stock.enforce(subject, "main", asked(15).resource, Action("pay"), {}) is True
assert stock.enforce(subject, "main", asked(21).resource, Action("pay"), {}) is False
changed = [SourceFile(one.name, one.shown_as, one.content.replace(b", 10, 20)", b", 10, 30)")) for one in files]
assert difference_between(policy, load_policy(changed).or_raise()).verdict != "same"
assert difference_between(policy, load_policy(files).or_raise()).verdict == "same"
print("all of it")
"""


def test_a_newcomer_with_three_arguments_is_one_entry(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "server" / "klausel", tmp_path / "klausel", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "klausel/core/conditions/functions.py").open("a", encoding="utf-8") as file:
        file.write(NEWCOMER)
    for name, text in POLICIES.items():
        path = tmp_path / "policies" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    command = [sys.executable, "-c", ASK, str(tmp_path / "policies"), str(ROOT / "model.conf")]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}, check=False)
    assert done.stdout == "all of it\n", done.stderr


@pytest.mark.parametrize("missing", ["meaning", "in_casbin", "told_by", "about", "example", "parameters", "form", "gives"])
def test_an_entry_without_a_part_is_none(missing: str) -> None:
    entry = FUNCTIONS["starts_with"]
    parts = {name: getattr(entry, name) for name in Function.__dataclass_fields__ if name != missing}
    with pytest.raises(TypeError, match=missing):
        Function(**parts)


def test_what_is_free_says_how_it_may_turn_out() -> None:
    with pytest.raises(ValueError, match="may turn out"):
        Function(
            name="f", form="call", parameters=(Parameter(),), gives="truth", meaning=bool, in_casbin="f", told_by="free",
            about="", example="",
        )  # fmt: skip


def test_what_is_told_by_values_says_of_which_kinds() -> None:
    with pytest.raises(ValueError, match="say its kinds"):
        Function(
            name="f", form="call", parameters=(Parameter(),), gives="truth", meaning=bool, in_casbin="f", told_by="values",
            about="", example="",
        )  # fmt: skip


@pytest.mark.parametrize("entry", FUNCTIONS.values(), ids=lambda entry: entry.name)
def test_an_entry_fits_the_others(entry: Function) -> None:
    if entry.opposite is not None:
        assert FUNCTIONS[entry.opposite].opposite == entry.name
    for other in (entry.mirrored, entry.turned, entry.near):
        assert other is None or other in FUNCTIONS
    if entry.near is not None:
        assert FUNCTIONS[entry.near].parameters == entry.parameters
    condition = parse_condition(entry.example, lambda _: None, {})
    assert entry.name in _functions_in(entry.example, condition)
    assert str(parse_condition(str(condition), lambda _: None, {})) == str(condition)


def _functions_in(text: str, condition: Condition) -> str:
    return text + " ".join(atom.operator for atom in atoms(condition) if isinstance(atom, Comparison))


def test_casbin_knows_the_functions_of_the_table_and_no_others() -> None:
    own = {"attribute", "is_true", "is_false"}
    wanted = {entry.in_casbin for entry in FUNCTIONS.values() if entry.turned is None}
    wanted |= {
        OPPOSITE + entry.in_casbin
        for entry in FUNCTIONS.values()
        if entry.gives == "truth" and entry.opposite is None and entry.turned is None
    }
    assert set(CASBIN_FUNCTIONS) == own | wanted


def words_in_docs(text: str) -> set[str]:
    """The words in the first columns of the two tables of docs/policies.md."""
    tables = re.findall(r"\| word \| example \|[^\n]*\n\|[-| ]+\n((?:\|[^\n]*\n)+)", text)
    assert len(tables) == 2
    cells = [line.split(" | ")[0] for table in tables for line in table.splitlines()]
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def test_the_documentation_has_a_row_for_every_word_and_for_no_other() -> None:
    text = (ROOT / "docs/policies.md").read_text(encoding="utf-8")
    said, known = words_in_docs(text), set(FUNCTIONS) | {"context.now"}
    assert said == known, f"docs/policies.md, tables of words: write a row for {known - said}, and none for {said - known}"
    without = re.sub(r"\| `has` \|.*\n", "", text)
    assert words_in_docs(without) == (set(FUNCTIONS) | {"context.now"}) - {"has"}


def modules_that_name_a_function(server: Path) -> set[str]:
    """A function that is known by name in a second place would be one in half of the places sooner or later."""
    kinds = {"time", "clock"}
    called = [entry.name for entry in FUNCTIONS.values() if entry.form == "call" and entry.name not in kinds]
    quoted = re.compile(rf"""(?<![\w.])["'](?:{"|".join(called)})["']""")
    return {
        str(path.relative_to(server))
        for path in [*server.glob("core/**/*.py"), *server.glob("casbin_policies/*.py")]
        if quoted.search(path.read_text(encoding="utf-8"))
    }


def test_no_other_module_names_a_function(tmp_path: Path) -> None:
    known = {
        "core/conditions/functions.py",
        "core/conditions/values.py",  # how durations are written
        "core/conditions/parser.py",  # the two names that no condition may have
        "core/filters/json_form.py",  # how durations are sent
    }
    others = sorted(modules_that_name_a_function(ROOT / "server" / "klausel") ^ known)
    assert not others, (
        f"what {others[0]} knows of a function by its name, its entry in core/conditions/functions.py has to say"
    )
    half_made = tmp_path / "core" / "conditions" / "outcomes.py"
    half_made.parent.mkdir(parents=True)
    half_made.write_text('if atom.function == "starts_with":\n    pass\n', encoding="utf-8")
    assert modules_that_name_a_function(tmp_path) == {"core/conditions/outcomes.py"}


WHERE_IT_IS_COMPARED = {
    "tests/helpers/generated_policies.py": "decisions, lists and analyses of generated policies never meet it: add to WORDS",
    "tests/helpers/condition_trees.py": "no generated tree has it: add to `atom`",
    "tests/helpers/plain_conditions.py": "nothing says a second time what it means: add to `called`",
    "tests/core/conditions/test_outcomes_of_words.py": "nothing compares how it turns out with how it may: add to TEXTS",
}


@pytest.mark.parametrize("place", WHERE_IT_IS_COMPARED)
def test_each_function_is_compared_with_a_second_meaning(place: str) -> None:
    source = (ROOT / place).read_text(encoding="utf-8")
    called = [entry.name for entry in FUNCTIONS.values() if entry.gives == "truth" and entry.form == "call"]
    missing = [name for name in called if not re.search(rf"\b{name}\b", source)]
    assert not missing, f"{place} lacks {', '.join(missing)}: {WHERE_IT_IS_COMPARED[place]}"


def test_a_function_that_casbin_alone_knows_cannot_be_written() -> None:
    with pytest.raises(ExpressionFault, match="unknown function"):
        parse_condition("is_true(resource.a)", lambda _: None, {})


def test_a_function_without_its_name_in_casbin_or_its_meaning_is_no_entry(tmp_path: Path) -> None:
    """The half change made on a copy: the module itself does not load."""
    source = (ROOT / "server/klausel/core/conditions/functions.py").read_text(encoding="utf-8")
    for line in (
        'in_casbin="is_between",',
        "meaning=_is_between,",
        'told_by="values",',
        'about="A number from one to another.",',
    ):
        copy = tmp_path / "functions.py"
        copy.write_text(source + NEWCOMER.replace(f"    {line}\n", ""), encoding="utf-8")
        done = subprocess.run([sys.executable, str(copy)], capture_output=True, text=True, check=False, env=ENVIRONMENT)
        assert f"argument: '{line.partition('=')[0]}'" in done.stderr

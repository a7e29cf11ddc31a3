"""The matcher of the model decides too: one that the analyses do not speak for is refused."""

from pathlib import Path

import casbin
import pytest
from policy_sets import policy_of
from small_policies import PAYMENTS, ROLES

from klausel.casbin_policies.engine import compile_policy, join_enforcer
from klausel.casbin_policies.model_shape import MATCHER, problems_in_model
from klausel.core.terms.problem import PolicyError
from klausel.core.terms.request import Action, Request, Resource, Subject

MODEL = (Path(__file__).parents[2] / "model.conf").read_text()


POLICY = policy_of({"roles.yaml": ROLES, "features/payments.yaml": PAYMENTS})
HEAD = Subject("user", "hanna", {}, frozenset({"head", "worker", "anyone"}))
PAYMENT = {"company": "acme", "team": "red", "amount": 12}
QUESTIONS = [
    (Request(HEAD, Action("approve"), Resource("payment", "p", {**PAYMENT, "frozen": False})), True),
    (Request(HEAD, Action("approve"), Resource("payment", "p", {**PAYMENT, "frozen": True})), False),
    (Request(HEAD, Action("approve"), Resource("payment", "p", PAYMENT)), False),
    (Request(Subject("user", "nobody"), Action("create"), Resource("payment", "p", PAYMENT)), False),
]


def ids_of(old: str, new: str) -> list[str]:
    assert old in MODEL
    return [problem.id for problem in problems_in_model(MODEL.replace(old, new), "model.conf")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("m = r", 'm = r.sub.id == "mallory" && p.eft == "allow" || r'),
        ("&& eval(p.cond)", "&& eval(p.cond) || true"),
        ("&& eval(p.cond)", ""),
        ("&& eval(p.cond)", "&& (eval(p.cond) || true)"),
        ("&& eval(p.cond)", '&& eval(p.cond) && matches_glob(r.act.name, "*")'),
        ("g(r.sub.roles, p.sub, r.dom) && ", ""),
        ("g(r.sub.roles, p.sub, r.dom)", "g(p.sub, r.sub.roles, r.dom)"),
        ("g(r.sub.roles, p.sub, r.dom)", 'g(r.sub.roles, p.sub, "*")'),
        ("g(r.sub.roles, p.sub, r.dom)", "g(r.sub.id, p.sub, r.dom)"),
        ("r.act.name == p.act", "r.act.name != p.act"),
        ('p.dom == "*" ||', 'p.dom == "*" or not'),
        (MATCHER, "true"),
        (MATCHER, "("),
    ],
)
def test_another_matcher_is_a_problem(old: str, new: str) -> None:
    assert ids_of(old, new) == ["model-matcher"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("m = ", "m   =    "),
        (" && g(", " \\\n  && g("),
        ("[matchers]", "# The matcher.\n\n[matchers]"),
        ("r.obj.type == p.obj && r.act.name == p.act", "r.act.name == p.act && r.obj.type == p.obj"),
        ("r.obj.type == p.obj", "p.obj == r.obj.type"),
        ('p.dom == "*"', "'*' == p.dom"),
        ("&& eval(p.cond)", "&& eval(p.cond)  # and its condition"),
    ],
)
def test_layout_comments_and_the_order_of_what_must_hold_do_not_matter(old: str, new: str) -> None:
    assert ids_of(old, new) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" && !some(where (p.eft == deny))", ""),
        ("g = _, _, _", "g = _, _"),
        ("m = r", "m2 = true\nm = r"),
        ("[matchers]", "[extra]\n[matchers]"),
    ],
)
def test_whatever_else_could_alter_decisions_is_a_problem(old: str, new: str) -> None:
    assert set(ids_of(old, new)) == {"model-shape"}


def decides_as_before(text: str) -> bool:
    """Whether the compiled plan and stock Casbin both answer by a model as by Klausel's own, or one refuses it."""
    try:
        compiled = compile_policy(POLICY, text)
    except PolicyError:
        return True
    stock = join_enforcer(casbin.Enforcer, POLICY, text)
    for request, expected in QUESTIONS:
        asked = request.subject, "acme/red", request.resource, request.action, request.context
        if compiled.decide(request, "acme/red")[0] != expected or stock.enforce(*asked) != expected:
            return False
    return True


def edited_by_one_sign() -> list[str]:
    """The model with one sign more, less or other, anywhere in the lines that say something."""
    texts, start = [], 0
    for line in MODEL.splitlines(keepends=True):
        for at in range(start, start + len(line)) if line.strip() and not line.startswith("#") else ():
            before, sign, after = MODEL[:at], MODEL[at], MODEL[at + 1 :]
            texts += [before + after, before + sign.swapcase() + after]
            texts += [before + new + sign + after for new in (" ", "\t", "\n", "!", "#", "\\", "\u00a0", "\u2028", "\u200b")]
        start += len(line)
    return texts


def test_every_edit_of_one_sign_is_refused_with_its_line_or_changes_no_decision() -> None:
    accepted = []
    for text in edited_by_one_sign():
        problems = problems_in_model(text, "model.conf")
        accepted += [] if problems else [text]
        for problem in problems:
            assert 1 <= problem.place.line <= text.count("\n") + 1 and problem.hint
    assert len(accepted) > 50
    for text in accepted:
        assert decides_as_before(text), text


@pytest.mark.parametrize("line", range(MODEL.count("\n")))
@pytest.mark.parametrize("kind", ["taken away", "said twice", "before all", "a comment"])
def test_every_edit_of_a_line_is_refused_or_changes_no_decision(line: int, kind: str) -> None:
    lines = MODEL.splitlines(keepends=True)
    here = {"taken away": [], "said twice": [lines[line]] * 2, "before all": [], "a comment": [f"; {lines[line]}"]}[kind]
    text = "".join([*(lines[line : line + 1] if kind == "before all" else []), *lines[:line], *here, *lines[line + 1 :]])
    assert problems_in_model(text, "model.conf") or decides_as_before(text)


def test_blanks_in_an_effect_are_refused_where_casbin_would_fail() -> None:
    (problem,) = problems_in_model(MODEL.replace("e = some(where", "e = some( where"), "model.conf")
    assert problem.place.line == 19
    assert "to the letter, blanks included" in problem.message


def test_what_casbin_reads_decides_and_not_what_looks_like_a_line() -> None:
    """Casbin takes the text behind U+2028 as a part of `eft`, finds no effect in a row, and would take a deny for an allow."""
    for sign in "\x0b\x0c\x1c\x85\u2028\u2029":
        (problem,) = problems_in_model(MODEL.replace("cond, eft", f"cond, eft{sign}# The effect."), "model.conf")
        assert problem.place.line == 11


@pytest.mark.parametrize("fields", ["sub, obj, act", "sub, dom, obj, act", "obj, act", "sub, obj, dom, act"])
def test_a_model_of_stock_casbin_is_called_so_once(fields: str) -> None:
    text = f"""[request_definition]
r = {fields}
[policy_definition]
p = {fields}
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.obj == p.obj && r.act == p.act
"""
    (problem,) = problems_in_model(text, "model.conf")
    assert (problem.place.line, problem.id) == (2, "model-shape")
    assert "klausel import casbin" in problem.hint


def test_a_model_without_a_line_that_says_something_is_one_problem() -> None:
    for text in ("", "\n", "# [matchers]\n"):
        assert [problem.message for problem in problems_in_model(text, "model.conf")] == ["the model says nothing"]

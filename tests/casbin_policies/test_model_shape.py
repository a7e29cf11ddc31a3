"""The matcher of the model decides too: one that the analyses do not speak for is refused."""

from pathlib import Path

import pytest

from klausel.casbin_policies.model_shape import MATCHER, problems_in_model

MODEL = (Path(__file__).parents[2] / "model.conf").read_text()


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

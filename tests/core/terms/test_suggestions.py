"""Suggestions for unknown names end when so many names were compared, and what is listed has an end, too."""

from __future__ import annotations

from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.terms.problem import Suggestions, first_of

NAMES = ("lead", "agent", "reviewer", "admin")
LEVELS = "levels:\n  account: {named_by: account}\nroles:\n"


def test_names_are_suggested_until_so_many_were_compared() -> None:
    suggestions = Suggestions(comparisons=8)
    assert [suggestions.nearest("leed", NAMES) for _ in range(3)] == ["lead", "lead", None]


def test_many_misspelt_roles_are_all_reported_and_the_first_with_a_suggestion() -> None:
    names = [f"{chr(97 + number // 26)}{chr(97 + number % 26)}_role" for number in range(600)]
    roles = LEVELS + "".join(f"  {name}: {{level: account}}\n" for name in names)
    grants = "".join(f"  - {{allow: {name}e, to: view, resource: quiz}}\n" for name in (*names, *names))
    feature = f"resource_types:\n  quiz: {{actions: [view]}}\ngrants:\n{grants}"
    texts = {"roles.yaml": roles, "features/x.yaml": feature}
    problems = load_policy(SourceFile(name, name, text.encode()) for name, text in texts.items()).problems
    assert len(problems) == 1200
    assert 'did you mean "aa_role"?' in problems[0].hint
    assert "did you mean" not in problems[-1].hint
    shown, more = first_of(problems)
    assert (len(shown), more) == (1000, "and 200 more")

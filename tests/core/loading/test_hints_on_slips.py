"""What the hints of slips say to write; their places and messages are in `tests/cases/problems`."""

from __future__ import annotations

import pytest
from problem_cases import all_cases
from small_policies import PAYMENTS, ROLES

from klausel.core.loading.load import SourceFile, load_policy

CASES = {case.name: case for case in all_cases()}
HINTS = {
    ("values_that_are_nearly_right", "features/notes.yaml", 6): ("READ", "zone: 2027-06-30T18:00:00+02:00"),
    ("values_that_are_nearly_right", "features/notes.yaml", 7): ("note", "2027-06-30T18:00:00+01:00"),
    ("values_that_are_nearly_right", "properties.yaml", 1): ("user id", "list of users id"),
    ("values_that_are_nearly_right", "tests/notes_test.yaml", 4): ("write true, in small letters",),
    ("names_of_conditions_with_minus", "features/more.yaml", 2): ("is_published",),
    ("names_of_conditions_with_minus", "features/more.csv", 1): ("its field is empty",),
    ("lines_that_lost_what_they_belong_to", "features/b_no_dash.yaml", 4): ("`- to: read`",),
    ("lines_that_lost_what_they_belong_to", "features/d_under_a_value.yaml", 3): ("indent it by 4, like line 2",),
    ("slips_that_lose_a_sign", "features/c_lists.yaml", 2): ('did you mean "agent"',),
    ("slips_that_lose_a_sign", "features/c_lists.yaml", 4): ("write several names as a list: [edit, create]",),
    ("slips_that_lose_a_sign", "features/c_lists.yaml", 6): ('did you mean "edit"',),
    ("slips_that_lose_a_sign", "features/c_lists.yaml", 7): ("resource.status",),
    ("slips_that_lose_a_sign", "features/c_lists.yaml", 8): ("write resource.created",),
    ("slips_that_lose_a_sign", "features/d.csv", 1): ("write p, grantee, domain, resource type",),
    ("slips_in_words_of_conditions", "conditions.yaml", 1): ('did you mean "clock"?',),
    ("slips_in_words_of_conditions", "conditions.yaml", 2): ('did you mean "true"?',),
    ("slips_in_words_of_conditions", "conditions.yaml", 3): ('did you mean "not"?',),
    ("slips_in_words_of_conditions", "conditions.yaml", 4): ('did you mean "is_open"?',),
    ("slips_in_words_of_conditions", "conditions.yaml", 5): ('did you mean "time_of_day"?',),
    ("slips_in_words_of_conditions", "conditions.yaml", 6): ('did you mean "Europe/Zurich"?',),
    ("slips_in_words_of_conditions", "conditions.yaml", 7): ('did you mean "not"?',),
    ("slips_in_words_of_conditions", "conditions.yaml", 8): ('did you mean "is_open"?',),
    ("slips_that_say_nothing", "tests/more_test.yaml", 4): ("write `city: Oslo`",),
    ("slips_that_say_nothing", "tests/more_test.yaml", 7): ('did you mean "who_can"?',),
    ("slips_that_lose_a_sign", "roles.yaml", 8): ('"subject" stands in properties.yaml',),
}


@pytest.mark.parametrize(("at", "parts"), HINTS.items(), ids=[f"{case} {file}:{line}" for case, file, line in HINTS])
def test_the_hint_says_what_to_write(at: tuple[str, str, int], parts: tuple[str, ...]) -> None:
    name, file, line = at
    problems = [problem for problem in CASES[name].load().problems if problem.place.file == f"policies/{file}"]
    hints = " ".join(problem.hint for problem in problems if problem.place.line == line)
    assert [part for part in parts if part not in hints] == []


@pytest.mark.parametrize("value", ["", '""', "~", "null", "[]"])
@pytest.mark.parametrize("key", ["in", "when", "at_level", "from", "until", "to", "resource", "allow"])
def test_no_hint_about_an_empty_key_leads_to_a_wider_grant(key: str, value: str) -> None:
    grant = {"allow": "member", "to": "close", "resource": "company"} | {key: value}
    features = PAYMENTS + "  - " + "\n    ".join(f"{name}: {said}" for name, said in grant.items()) + "\n"
    texts = {"roles.yaml": ROLES, "features/payments.yaml": features}
    problems = load_policy([SourceFile(name, name, text.encode()) for name, text in texts.items()]).problems
    told = [problem for problem in problems if problem.place.file == "features/payments.yaml"]
    assert told and [problem.hint for problem in told if "leave it out" in problem.hint] == []


def test_who_writes_an_empty_list_for_nobody_is_told_how_to_say_nobody() -> None:
    invariants = "invariants:\n  - {at_most: [], to: close, resource: company}\n"
    texts = {"roles.yaml": ROLES, "features/payments.yaml": PAYMENTS, "invariants.yaml": invariants}
    problems = load_policy([SourceFile(name, name, text.encode()) for name, text in texts.items()]).problems
    assert ["never: anyone" in problem.hint for problem in problems if problem.severity == "error"] == [True]

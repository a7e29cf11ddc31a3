"""Whoever comes from another language or tool is told what to write here."""

import pytest
from problem_cases import FOLDER, read_case

HINTS = {
    "conditions_as_in_other_languages": {
        1: "write `true`",
        2: 'a time is written time("2026-06-01T00:00:00Z"), a text in quotes: "2026-06-01"',
        3: 'a time is written time("2026-06-01T00:00:00Z"), a text in quotes: "2026-06-01T00:00:00Z"',
        4: "a number is written without signs between its digits: 10000",
        5: "a number is written without signs between its digits: 10000",
        6: "a number is written without signs between its digits: 10000",
        7: "who asks is called subject here: subject.id",
        8: "who asks is called subject here: subject.team",
        9: "who asks is called subject here: subject.team",
        10: "who asks is called subject here, and known by subject.id",
        11: "what is asked about is called resource here: resource.owner",
        12: "attributes start with subject (who asks), resource, action or context (all else that the request says)",
        13: "attributes start with subject (who asks), resource, action or context (all else that the request says)",
        14: 'write matches_glob(resource.name, "abc*"), or "*abc" for the end',
        15: 'turn it round: `"a" in resource.names`',
        16: "there are no regular expressions; write matches_glob, with a star where anything may stand",
        17: "conditions do not count; send the number as a property",
        18: "there is no choice by `?`; write `a and b or not a and c`",
        19: "write `and`",
        20: "write `or`",
        21: "write `not`",
        22: "write `==`",
        23: "write resource.amount >= 1 and resource.amount <= 20",
        24: 'write matches_glob(resource.name, "a*")',
        25: 'write resource.status != "open"',
        26: "without signs between its digits: 1000.50",
        27: "without signs between its digits: 1000000",
    },
    "values_as_people_write_them": {
        6: "write the number in full and without a unit, such as 1000",
        7: "write the number in full and without a unit, such as 1000",
        8: 'write each in quotes of its own, in a list behind `in`: in ["draft", "final"]',
        9: 'write each in quotes of its own, in a list behind `in`: in ["draft", "final"]',
        10: "write `true` or `false`; a text stands in quotes",
        11: "write `not`",
        12: "there is no such day or time; look at the numbers",
        13: "there is no such day or time; look at the numbers",
        14: 'write hours and minutes from "00:00" to "23:59"',
        2: "write two in a list, and a further invariant for each other pair",
    },
    "slips_with_lists_and_signs": {
        5: "write several names as a list: [read, write]",
        7: "write several names as a list: [read, write]",
        8: 'all actions of a type are written "*"',
        9: "its actions are read, write",
        10: "what is not equal is written `!=`",
        11: "write `>=`",
        12: 'a list stands in square brackets: in ["a", "b"]',
        13: 'write in ["a", "b"] for one of several values',
        14: "the time of the request is context.now",
        15: "a star stands for no part of a name; write the actions as a list. Its actions are read, write",
    },
    "slips_of_editors": {
        11: "write the number in digits: 50",
        12: "a decimal point is a point: 5.50",
        13: "durations are written with days, hours, minutes and seconds: days(365)",
        14: 'write ends_with(subject.email, "@example.com")',
        15: "what is asked about is called resource here: resource.locked",
        16: "as in resource.owner",
        4: "write several names as a list: [read, write]",
        5: "write several names as a list: [read, write]",
        6: 'one person is left out by `when: subject.id != "ann"`',
        7: "write date, time and zone: 2030-12-31T10:00:00Z",
        26: "write several names as a list: [agent, lead]",
        27: '"grants" stands in a file in features/',
    },
    "keys_of_other_products": {
        7: "joined by `and` or `or`: when: is_open and is_urgent",
        11: "joined by `and` or `or`: when: is_open and is_urgent",
        13: "begin the grant with `allow:` or `deny:` and the role",
        16: "allow",
    },
    "toxic_without_two_things": {
        3: "two roles that nobody may have together stand under separate",
        5: "write two things to do: [{to: <action>, resource: <type>}, {to: <action>, resource: <type>}]",
        7: "name two different ones",
    },
    "blank_missing_behind_colon": {3: "a blank is missing behind the colon"},
    "blank_missing_behind_dash": {3: "a blank is missing behind the dash in line 2: write `- allow: clerk`"},
    "exclamation_mark_for_not": {5: "in conditions, write `not` for `!`"},
    "csv_with_semicolons": {1: "save"},
    "csv_with_tabs": {2: "put commas between them"},
    "merge_left_both_sides": dict.fromkeys((1, 2, 3), "keep what is right of the two sides"),
    "stock_casbin_policy": {
        1: "Here it is p, alice, *, data1, read, , allow, with a role in the first place; "
        "klausel import casbin takes a whole set",
        2: "Here it is p, admin, house1, data2, write, , allow",
        3: "Here it is p, admin, *, data2, write, , deny",
        4: "where alice is a role, write g, alice, admin, *; who is a person gets roles by klausel assignments import",
    },
    "keys_of_other_languages": {
        2: 'did you mean "allow"?',
        3: 'did you mean "to"?',
        4: 'did you mean "resource"?',
        5: "say the opposite: `when: not (…)`",
        6: 'did you mean "deny"?',
        7: 'did you mean "to"?',
        9: 'did you mean "when"?',
        10: 'did you mean "because"?',
    },
}


@pytest.mark.parametrize("name", HINTS)
def test_the_hint_says_what_to_write_here(name: str) -> None:
    problems = read_case(FOLDER / f"{name}.txt").load().problems
    assert {problem.place.line for problem in problems} == set(HINTS[name])
    for problem in problems:
        assert HINTS[name][problem.place.line] in problem.hint

"""The schemas refuse what the loader refuses for its shape and its names, and nothing that the loader takes."""

import pytest
from problem_cases import Case, all_cases, source_files
from schema_files import refusals

from klausel.core.formatting.files import kind_of_file

SEEN_BY_SCHEMAS = {
    "any-of-top-level", "bad-effect", "level-naming", "missing-key", "unknown-action", "unknown-key", "unknown-level",
    "unknown-resource-type", "unknown-role", "wrong-kind",
}  # fmt: skip
NOT_SEEN = {
    # A type of `identified_by` is looked for in all files, and need not be there: a schema can only offer those that are.
    ("unknown_type_everywhere", "roles.yaml"),
    # A schema takes any text for a time, and does not look into conditions.
    ("values_as_people_write_them", "features/more.yaml"),
    # To a schema a number is a number, however it is written.
    ("values_with_a_point_before_thousands", "tests/more_test.yaml"),
}
WARNED_OF = {("slips_that_lose_a_sign", "invariants.yaml")}
"""What editors mark as wrong, while a service that has it goes on: a file whose every line became a comment."""
# A schema is made for one folder.
CASES = [pytest.param(case, id=case.name) for case in all_cases() if not any(name.startswith("+") for name in case.files)]


def refused_by_the_loader(case: Case) -> dict[str, set[str]]:
    """The ids of the errors in each file."""
    found: dict[str, set[str]] = {}
    for problem in case.load().problems:
        if problem.severity == "error":
            found.setdefault(problem.place.file.removeprefix("policies/"), set()).add(problem.id)
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_file_with_a_wrong_shape_or_name_is_refused_by_its_schema_too(case: Case) -> None:
    refused = dict(refusals(source_files(case.files)))
    for name, ids in refused_by_the_loader(case).items():
        if ids & SEEN_BY_SCHEMAS and kind_of_file(name) and (case.name, name) not in NOT_SEEN:
            assert name in refused, ids


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_the_loader_takes_is_taken_by_its_schema(case: Case) -> None:
    wrong = refused_by_the_loader(case)
    refused = dict(refusals(source_files(case.files)))
    assert {name: why for name, why in refused.items() if name not in wrong and (case.name, name) not in WARNED_OF} == {}


def test_what_is_said_not_to_be_seen_is_not_seen() -> None:
    cases = {case.name: case for case in all_cases()}
    for name, file in NOT_SEEN:
        assert file not in dict(refusals(source_files(cases[name].files)))

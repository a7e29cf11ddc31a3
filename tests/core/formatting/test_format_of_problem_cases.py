"""Files with problems have one canonical form, or are refused with a problem of their own."""

from dataclasses import replace

import pytest
from problem_cases import Case, all_cases, source_files

from klausel.core.formatting.files import can_be_formatted, format_file
from klausel.core.loading.load import load_policy
from klausel.core.terms.problem import PolicyError


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in all_cases()])
def test_formatting_is_refused_or_leaves_every_problem_and_is_done_at_once(case: Case) -> None:
    anew = []
    for file in source_files(case.files):
        content = file.content
        if can_be_formatted(file.name):
            try:
                content = format_file(file)
            except PolicyError as error:
                assert error.problems
            else:
                assert format_file(replace(file, content=content)) == content
        anew.append(replace(file, content=content))
    before, after = load_policy(source_files(case.files)), load_policy(anew)
    assert sorted(problem.id for problem in before.problems) == sorted(problem.id for problem in after.problems)

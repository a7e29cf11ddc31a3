"""Single questions that the table of permissions does not reach, in the editions that they hold for."""

import pytest
from decision_cases import Case, read_cases
from policy_sets import CASES, EDITIONS, Asked, read_policy

SPECIAL = {edition: read_cases(CASES / "decisions" / "special.yaml", edition=edition) for edition in EDITIONS}


@pytest.fixture(scope="module")
def editions() -> dict[str, Asked]:
    return {name: Asked(read_policy(folder), SPECIAL[name].held) for name, folder in EDITIONS.items()}


def by_sentence(edition: str) -> dict[str, list[Case]]:
    sentences: dict[str, list[Case]] = {}
    for case in SPECIAL[edition].cases:
        sentences.setdefault(case.why, []).append(case)
    return sentences


@pytest.mark.parametrize(("edition", "sentence"), [(edition, why) for edition in EDITIONS for why in by_sentence(edition)])
def test_the_special_case_holds(edition: str, sentence: str, editions: dict[str, Asked]) -> None:
    asked = editions[edition]
    wrong = [case for case in by_sentence(edition)[sentence] if asked.allows(case.request) is not case.expected]
    assert not wrong, "\n".join(map(str, wrong))


def test_every_special_case_has_a_sentence_of_its_own() -> None:
    for edition, (_, cases) in SPECIAL.items():
        assert len({(case.why, case.subject) for case in cases}) == len(cases), edition

"""Other products: each folder of tests/cases/products is a policy set with the decisions that it must give."""

import oracle
import pytest
from decision_cases import read_cases
from policy_sets import CASES, Asked, read_policy

FOLDERS = {path.parent.name: path.parent for path in sorted((CASES / "products").glob("*/decisions.yaml"))}
CASE_FILES = {name: read_cases(folder / "decisions.yaml") for name, folder in FOLDERS.items()}
SENTENCES = list(dict.fromkeys((name, case.why) for name, (_, cases) in CASE_FILES.items() for case in cases))


@pytest.fixture(scope="module")
def products() -> dict[str, Asked]:
    return {name: Asked(read_policy(folder / "policies"), CASE_FILES[name].held) for name, folder in FOLDERS.items()}


@pytest.mark.parametrize(("product", "why"), SENTENCES)
def test_the_decision_of_the_product_holds(product: str, why: str, products: dict[str, Asked]) -> None:
    asked, (held, cases) = products[product], CASE_FILES[product]
    assignments = [(key, role, domain) for key, pairs in held.items() for role, domain in pairs]
    for case in cases:
        if case.why == why:
            assert asked.allows(case.request) is case.expected, str(case)
            assert asked.stock_allows(case.request) is case.expected, f"stock: {case}"
            assert oracle.allows(asked.policy, assignments, case.request) is case.expected, f"oracle: {case}"


def test_there_are_products_with_one_level_and_with_three(products: dict[str, Asked]) -> None:
    assert {len(asked.policy.roles.levels) for asked in products.values()} == {1, 3}

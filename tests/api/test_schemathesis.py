"""Schemathesis against every route: whatever it makes up from the description, good or bad, is answered as described."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
import schemathesis
from doors import demo_people, grant, open_doors
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from klausel.api.operations import OPERATIONS

EXAMPLES = int(os.environ.get("KLAUSEL_TEST_SCHEMATHESIS_EXAMPLES", "6"))
"""Of each route and kind; more of them by hand."""
TAKES_SOMETHING = {key for key, operation in OPERATIONS.items() if operation.body or operation.parameters}
HAS_TEXTS_OF_ITS_OWN = {
    (method, path)
    for method, path in OPERATIONS
    if path.startswith(("/v1/assignment", "/v1/entit", "/v1/casbin-js", "/access/v1/search", "/console"))
    or path == "/v1/filter"
}
"""Routes with texts that no schema can tell: tokens of pages, declared roles, domains, times, subjects as `type:id`."""
KINDS = [
    (method, path, mode)
    for method, path in OPERATIONS
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if mode is GenerationMode.POSITIVE or (method, path) in TAKES_SOMETHING
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaseSchema]:
    with open_doors(tmp_path_factory.mktemp("described") / "klausel.db") as doors:
        grant(doors.service, demo_people())
        yield schemathesis.openapi.from_wsgi("/openapi.json", doors.lane._client.application)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("method", "path", "mode"), KINDS, ids=[f"{m} {p} {mode.name.lower()}" for m, p, mode in KINDS])
def test_a_route_answers_as_it_is_described(api: BaseSchema, method: str, path: str, mode: GenerationMode) -> None:
    operation = api[re.sub(r"<(?:path:)?(\w+)>", r"{\1}", path)][method]

    excluded = [positive_data_acceptance] if (method, path) in HAS_TEXTS_OF_ITS_OWN else []

    @seed(20260101)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        # Asked without a connection, it does not unpack what it says that it takes packed.
        headers = {"Host": "localhost", "Accept-Encoding": "identity"}
        case.call_and_validate(headers=headers, excluded_checks=excluded)

    ask()

"""Patterns as regular expressions: they find exactly what conditions match, in Python and in PostgreSQL."""

from __future__ import annotations

import itertools
import re

import pytest
from sqlalchemy import create_engine, text
from storage_fixtures import HOW_TO_GET_POSTGRESQL, postgresql_url

from klausel.core.conditions.meanings import matches_glob, matches_path
from klausel.storage.filters.patterns import pattern_of

TEXTS = ["".join(letters) for length in range(6) for letters in itertools.product("a/b", repeat=length)]
TEXTS += ["a\n", "\na", "a.b", "A", "a\nb/c", "é", "é/a", "a[b", "(", "%", "_"]
PATTERNS = [
    *("", "a", "*", "?", "a*", "*a", "a?b", "?*", "a/*", "*/a", "a/**", "**/a", "**", "**/**", "a/**/b", "**/a/**", "*/**"),
    *("**/*", "a*/b", "?/?", "a.b", "a[b", "(", "%", "_", "a/*/**/b", "**/**/b", "a**", "/", "//", "/**", "**/"),
]
MATCHERS = {"matches_glob": matches_glob, "matches_path": matches_path}


@pytest.mark.parametrize("matcher", MATCHERS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_python_finds_what_matches(matcher: str, pattern: str) -> None:
    expression = re.compile(pattern_of(matcher, pattern))
    wrong = [one for one in TEXTS if (expression.search(one) is not None) is not MATCHERS[matcher](one, pattern)]
    assert wrong == []


def test_postgresql_finds_what_matches() -> None:
    server = postgresql_url()
    if server is None:
        pytest.skip(HOW_TO_GET_POSTGRESQL)
    engine = create_engine(server)
    query = text("SELECT t, p FROM unnest(CAST(:texts AS text[])) AS t, unnest(CAST(:patterns AS text[])) AS p WHERE t ~ p")
    for matcher, matches in MATCHERS.items():
        expressions = {pattern_of(matcher, pattern): pattern for pattern in PATTERNS}
        with engine.connect() as connection:
            rows = connection.execute(query, {"texts": TEXTS, "patterns": list(expressions)})
            found = {(one, expression) for one, expression in rows}
        wanted = {(one, expression) for one in TEXTS for expression, pattern in expressions.items() if matches(one, pattern)}
        assert found == wanted
    engine.dispose()

"""Which texts name a domain: one rule, which databases, Django and the description of the API spell each in their own way."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import MetaData, literal, select
from storage_fixtures import engine_with

from klausel.api.request_shapes import DOMAIN_ID
from klausel.core.terms.identifiers import fault_in_domain_id
from klausel.django.lists import _DOMAIN_ID
from klausel.storage.filters.constructs import IsDomainId

IDS = (
    "",
    "*",
    "**",
    "***",
    "a",
    "*a",
    "**a",
    "a*",
    "*a*",
    " ",
    "* ",
    "a/b",
    "*/",
    "**/*a",
    "a\x1f",
    "*\x7f",
    "\u2028",
    "**\u2029",
    "é*",
)


@pytest.mark.parametrize("text", IDS)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_databases_know_the_ids_of_domains(kind: str, text: str) -> None:
    with engine_with(kind, MetaData()) as engine, engine.connect() as connection:
        assert connection.scalar(select(IsDomainId(literal(text)))) == (fault_in_domain_id(text) is None)


@pytest.mark.parametrize("text", IDS)
@pytest.mark.parametrize("pattern", [rf"\A{_DOMAIN_ID}\Z", rf"\A{DOMAIN_ID}\Z"], ids=["Django", "description"])
def test_patterns_know_the_ids_of_domains(pattern: str, text: str) -> None:
    assert (re.search(pattern, text) is not None) == (fault_in_domain_id(text) is None)

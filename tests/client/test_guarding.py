"""Objects become resources as a database sees their rows, and only a plain yes lets anything through."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from klausel.client import Decision, Resource
from klausel.guarding import Guarded, GuardError, Refusal, check_decision, check_subject


class Base(DeclarativeBase):
    pass


class Place(Base):
    __tablename__ = "guarded_places"
    id: Mapped[int] = mapped_column(primary_key=True)
    account: Mapped[str]


class Tag(Base):
    __tablename__ = "guarded_tags"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    thing_id: Mapped[int] = mapped_column(ForeignKey("guarded_things.id"))


class Thing(Base):
    __tablename__ = "guarded_things"
    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int]
    place_id: Mapped[int] = mapped_column(ForeignKey(Place.id))
    place: Mapped[Place | None] = relationship()
    tags: Mapped[list[Tag]] = relationship()


class Colour(Enum):
    RED = "red"


def resource(properties: Any, thing: object) -> Resource:
    guarded = Guarded()
    guarded.describe(type(thing), "thing", properties)
    return guarded.resource(thing)


def test_keys_are_texts_and_other_numbers_are_numbers() -> None:
    thing = Thing(id=7, size=3, place_id=9)
    assert resource(["size", "place_id"], thing) == Resource("thing", "7", {"size": 3, "place_id": "9"})


def test_paths_lead_through_relationships_and_break_off_where_nothing_is() -> None:
    paths = {"account": "place.account", "tags": "tags.name"}
    thing = Thing(id=7, place=Place(account="acme"), tags=[Tag(name="a"), Tag(name="b")])
    assert resource(paths, thing).properties == {"account": "acme", "tags": ["a", "b"]}
    assert resource(paths, Thing(id=7)).properties == {"tags": []}


def test_a_related_value_that_is_none_is_a_null_in_the_list_so_that_it_stays_unknown() -> None:
    thing = Thing(id=7, tags=[Tag(name="a"), Tag(name=None)])
    assert resource({"tags": "tags.name"}, thing).properties == {"tags": ["a", None]}


def test_what_has_no_key_yet_is_new() -> None:
    assert resource([], Thing()).id == "new"


def test_a_description_may_name_the_id_and_compute() -> None:
    thing = SimpleNamespace(id=1, slug="s", count=2)
    assert resource({"id": "slug", "twice": lambda one: one.count * 2}, thing) == Resource("thing", "s", {"twice": 4})


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00+00:00"),
        (datetime(2026, 1, 2, 3), "2026-01-02T03:00:00+00:00"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.5"), 1.5),
        (Decimal("2.0"), 2),
        (Colour.RED, "red"),
        (True, True),
        ({"a": None, "b": (1, "x")}, {"b": [1, "x"]}),
    ],
    ids=str,
)
def test_values_are_sent_as_lists_compare_them(value: object, sent: object) -> None:
    found = resource(["value"], SimpleNamespace(id=1, value=value)).properties["value"]
    assert (found, type(found)) == (sent, type(sent))


def test_what_cannot_be_asked_is_an_error() -> None:
    with pytest.raises(GuardError, match="no value of JSON"):
        resource(["value"], SimpleNamespace(id=1, value=object()))
    with pytest.raises(GuardError, match="nothing is described for Thing"):
        Guarded().resource(Thing())
    with pytest.raises(AttributeError):
        resource(["missing"], SimpleNamespace(id=1))


def test_a_list_has_no_column_for_what_is_not_described() -> None:
    guarded = Guarded()
    guarded.describe(Thing, "thing", {"account": "place.account", "twice": lambda thing: thing.size * 2})
    columns = guarded.described(Thing).columns()
    assert "account" in columns and columns["account"] == "place.account"
    assert "size" in columns and columns["size"] is None
    assert "size.inner" in columns and "account.inner" not in columns
    # What is computed is refused by lists, as it has no column, and the id is in the primary key.
    assert "twice" not in columns and "id" not in columns


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        (Decision(False), 403),
        (Decision(False, "why", True), 503),
        (Decision(True, "odd", True), 503),
        (Decision("yes"), 403),
    ],  # type: ignore[arg-type]
)
def test_only_a_plain_yes_passes(decision: Decision, status: int) -> None:
    with pytest.raises(Refusal) as refused:
        check_decision(decision)
    assert refused.value.status == status
    check_decision(Decision(True))


def test_nobody_is_refused() -> None:
    for nobody in (None, ""):
        with pytest.raises(Refusal, match="log in first"):
            check_subject(nobody)

"""similar-places: a place that nobody is in, but that is spelled almost like one where somebody is.

Compared are the places in `in:` of grants, invariants, contained roles and entities, and the domains in `provisioning.yaml`,
with the domains that the policy tests name, those of the demo people beside the policies, and, with `check --database`, those
of the role assignments there. One letter more, less or other, two in the wrong order, another case or width, the last id
without those above it, ids at other levels or turned round (`*/support` for `acme/emea/support`), or another sign between
the ids (`acme.support`), is most often a slip; and a deny in a place where nobody is denies nothing. Of a longer place its
start is compared, too: `acne` in `acne/payroll`. Where nobody is in either of two places that look alike, the later one is
named.

    grants:
      - deny: anyone
        to: publish
        resource: quiz
        in: acme/suport         # and in the tests: acme/support

A place that is called like a word for all of them or for none (`all`, `everywhere`, `no`, `off`) and where nobody is, is
reported, too: it means the one place of that name. So is one with the name of a level in it (`acme/workspace`), or of the
property that names the level, and one of the top level that is called like a resource type: columns of CSV that were swapped.

The domains that the policy tests ask in, and those in which their people hold roles, are compared with each other, too: of a
misspelt one, a test that expects a denial says nothing.

    resources:
      a quiz: {type: quiz, in: acme/suport}     # and nobody of the tests holds a role there, but somebody in acme/support

Not reported: a place in which, or above which, one of those domains lies; digits (`team1`, `team2`); and ids under four
letters, unless they differ only in case.

If it is meant: `# klausel: off similar-places because <reason>` behind the first line of the entry or above it; or name the
place in a policy test.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import combinations

from klausel.core.lint.similarity import folded_name, is_similar, odd_letter, spellings
from klausel.core.lint.survey import Survey, warning
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.places import EVERY
from klausel.core.terms.problem import Place, Problem

ID = "similar-places"
SHORTEST_ID = 4
_WORDS_FOR_ALL = ("all", "any", "every", "everything", "everywhere", "anywhere", "anyone", "everyone", "global")
_WORDS_FOR_NONE = ("none", "no", "nowhere", "nobody", "false", "off", "true", "yes", "on")
_NO_NAMES = frozenset((*_WORDS_FOR_ALL, *_WORDS_FOR_NONE))
_BETWEEN = re.compile(r"%2f|[^a-z0-9]", re.IGNORECASE)


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    yield from _in_tests(survey)
    limited = survey.places_written
    if not limited:
        return
    odd = {written: found for written, _ in limited if (found := _word_as_place(written, survey.policy)) is not None}
    people_in = {domain for domain, _ in survey.domains()} if odd else set()
    for written, place in limited:
        is_said = (written, place) in survey.limited_to_names_of_levels
        if written in odd and not is_said and not any(_is_inside(one, written) for one in people_in):
            yield warning(place, ID, *odd[written])
    near, inhabited = _nearest({start for written, _ in limited for start in _starts(written)}, survey.domains())
    seen = _Seen()
    for written, place in limited:
        like = next((start for start in _starts(written) if start in near and start not in inhabited), None)
        found = near.get(like) if like is not None else None if written in inhabited else seen.like(written)
        if found is not None:
            here = like or written
            message = f"nobody is in {here}, but it looks like {found[0]} ({found[1]}){odd_letter(here, found[0])}"
            yield warning(place, ID, message, "if that is meant, write it alike; else name this place in a policy test")
        seen.add(written, place)


def _in_tests(survey: Survey) -> Iterator[Problem]:
    """A finding for each domain that tests ask in and where none of their people holds a role, and the other way round."""
    held, asked = survey.domains_held_in_tests, survey.domains_asked_in_tests
    elsewhere = [one for one in held if not any(_is_inside(other, one) for other in asked)]
    for domains, others, who in (
        (asked, held, "nobody of the tests holds a role"),
        ({one: held[one] for one in elsewhere}, asked, "the tests ask about nothing"),
    ):
        near, inhabited = _nearest(
            {start for one in domains for start in _starts(one)}, ((one, str(at)) for one, at in others.items())
        )
        for domain, place in domains.items():
            like = next((start for start in _starts(domain) if start in near and start not in inhabited), None)
            if like is not None:
                message = (
                    f"{who} in {like}, but it looks like {near[like][0]} ({near[like][1]}){odd_letter(like, near[like][0])}"
                )
                yield warning(place, ID, message, "if that is meant, write it alike; else choose a name that differs more")


def _word_as_place(written: str, policy: PolicySet) -> tuple[str, str] | None:
    """What to say of a place that is called like something else, and how to fix it; None where it is not."""
    if any(part.casefold() in _NO_NAMES for part in written.split("/")):
        message = f'"{written}" is one place by that name, and nobody is there'
        return message, "name the places that are meant, or name this one in a policy test"
    for level in policy.roles.levels:
        for name in {level.name, level.named_by or level.name} & set(written.split("/")) - {level.constant}:
            also = "the name of a level" if name == level.name else f"the property that names the {level.name}"
            message = f'"{name}" in "{written}" is the one place called so, and also {also}'
            return (
                message,
                f"write the id of the {level.name} that is meant, or * for every one; or name it in a policy test",
            )
    if written in policy.resource_types and policy.roles.level_named(written) is None:
        message = f'"{written}" is a resource type, and as a place it is the one {policy.roles.levels[0].name} of that name'
        return message, "write the place before the resource type, * for everywhere; or name it in a policy test"
    return None


def _starts(written: str) -> Iterator[str]:
    """Each place above a place that is no star alone, from the top, and the place itself."""
    parts = written.split("/")
    for depth in range(1, len(parts) + 1):
        if set(parts[:depth]) != {EVERY}:
            yield "/".join(parts[:depth])


class _Seen:
    """Places with where each stands first, found again by what they look like."""

    def __init__(self) -> None:
        self._by_spelling: dict[str, list[tuple[str, str]]] = {}

    def like(self, written: str) -> tuple[str, str] | None:
        """The first other place that looks like this one."""
        near = [one for spelling in spellings(written) for one in self._by_spelling.get(spelling, ())]
        return next((one for one in near if one[0] != written and is_similar(written, one[0], SHORTEST_ID)), None)

    def add(self, written: str, place: Place) -> None:
        """Notes a place for those that follow."""
        for spelling in spellings(written):
            self._by_spelling.setdefault(spelling, []).append((written, str(place)))


def _has_misplaced_ids(place: str, ids: list[str]) -> bool:
    """Whether ids of a place, long ones and each once, stand elsewhere in it than in a domain."""
    parts = place.split("/")
    misplaced = [one for at, one in enumerate(parts) if one != EVERY and ids[at : at + 1] != [one]]
    is_once = all(parts.count(one) == 1 == ids.count(one) for one in misplaced)
    return bool(misplaced) and is_once and min(map(len, misplaced)) >= SHORTEST_ID


def _is_inside(domain: str, place: str) -> bool:
    return domain == place or domain.startswith(f"{place}/")


def _nearest(places: set[str], domains: Iterable[tuple[str, str]]) -> tuple[Mapping[str, tuple[str, str]], Collection[str]]:
    """The first domain that each place looks like, with where that is named; and the places that a domain is in or below."""
    forms = {tuple(part == EVERY for part in place.split("/")) for place in places}
    by_spelling: dict[str, set[str]] = {}
    for place in places:
        for spelling in spellings(place):
            by_spelling.setdefault(spelling, set()).add(place)
    by_letters = {_BETWEEN.sub("", place).casefold(): place for place in places if EVERY not in place}
    by_ids: dict[frozenset[str], list[str]] = {}
    for place in places:
        by_ids.setdefault(frozenset(place.split("/")) - {EVERY}, []).append(place)
    all_ids = frozenset().union(*by_ids)
    near: dict[str, tuple[str, str]] = {}
    seen: set[str] = set()
    inhabited: set[str] = set()
    for domain, source in domains:
        ids = domain.split("/")
        for form in forms:
            if len(form) > len(ids):
                continue
            above = "/".join(ids[: len(form)])
            like = "/".join(EVERY if star else id_ for star, id_ in zip(form, ids, strict=False))
            if like in seen:
                continue
            seen.add(like)
            if like in places:
                inhabited.add(like)
            for place in {place for spelling in spellings(like) for place in by_spelling.get(spelling, ())}:
                if place != like and is_similar(place, like, SHORTEST_ID):
                    near.setdefault(place, (above, source))
        known = [id_ for id_ in ids if id_ in all_ids]
        for number in range(1, len(known) + 1):
            for some in combinations(known, number):
                for place in by_ids.get(frozenset(some), ()):
                    if _has_misplaced_ids(place, ids):
                        near.setdefault(place, ("/".join(ids[: ids.index(some[-1]) + 1]), source))
        for depth in range(2, len(ids) + 1):
            for place in by_spelling.get(folded_name(ids[depth - 1]), ()):
                if folded_name(place) == folded_name(ids[depth - 1]):
                    near.setdefault(place, ("/".join(ids[:depth]), source))
            run_together = by_letters.get(_BETWEEN.sub("", "/".join(ids[:depth])).casefold())
            if run_together is not None and run_together.count("/") != depth - 1:
                near.setdefault(run_together, ("/".join(ids[:depth]), source))
    return near, inhabited

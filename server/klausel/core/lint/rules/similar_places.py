"""similar-places: a place in a grant or an invariant that nobody is in, but that is spelled almost like one where somebody is.

Compared are the places in `in:` with the domains that the policy tests name, those of the demo people beside the policies, and,
with `check --database`, those of the role assignments there. One letter more, less or other, two in the wrong order, another
case or width, the last id without those above it, or another sign between the ids (`acme.support`), is most often a slip; and a
deny in a place where nobody is denies nothing.

    grants:
      - deny: anyone
        to: publish
        resource: quiz
        in: acme/suport         # and in the tests: acme/support

A place that is called like a word for all of them (`all`, `everywhere`) and where nobody is, is reported, too: it means the one
place of that name.

Not reported: a place in which, or above which, one of those domains lies; digits (`team1`, `team2`); and ids under four
letters, unless they differ only in case.

If it is meant: `# klausel: off similar-places because <reason>` behind the first line of the entry or above it; or name the
place in a policy test.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from klausel.core.lint.similarity import folded_name, is_similar, spellings
from klausel.core.lint.survey import Survey, warning
from klausel.core.terms.places import EVERY
from klausel.core.terms.problem import Problem

ID = "similar-places"
SHORTEST_ID = 4
_WORDS_FOR_ALL = ("all", "any", "every", "everything", "everywhere", "anywhere", "anyone", "everyone", "global", "none")
_BETWEEN = re.compile(r"%2f|[^a-z0-9]", re.IGNORECASE)


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    entries = [(grant.scope.domain, grant.place) for grant in survey.policy.grants]
    entries += [(invariant.scope.domain, invariant.place) for invariant in survey.policy.invariants]
    limited = list(dict.fromkeys((written, place) for written, place in entries if written is not None))
    if not limited:
        return
    for written, place in limited:
        is_for_all = any(part.casefold() in _WORDS_FOR_ALL for part in written.split("/"))
        if is_for_all and not any(_is_inside(one, written) for one, _ in survey.domains()):
            message = f'"{written}" is one place by that name, and nobody is there'
            yield warning(place, ID, message, "name the places that are meant, or name this one in a policy test")
    near = _nearest({written for written, _ in limited}, survey.domains())
    for written, place in limited:
        if written in near:
            domain, source = near[written]
            message = f"nobody is in {written}, but it looks like {domain} ({source})"
            yield warning(place, ID, message, "if that is meant, write it alike; else name this place in a policy test")


def _is_inside(domain: str, place: str) -> bool:
    return domain == place or domain.startswith(f"{place}/")


def _nearest(places: set[str], domains: Iterable[tuple[str, str]]) -> Mapping[str, tuple[str, str]]:
    """For each place that no domain is in or below, the first domain that it looks like, with where that is named."""
    forms = {tuple(part == EVERY for part in place.split("/")) for place in places}
    by_spelling: dict[str, set[str]] = {}
    for place in places:
        for spelling in spellings(place):
            by_spelling.setdefault(spelling, set()).add(place)
    by_letters = {_BETWEEN.sub("", place).casefold(): place for place in places if EVERY not in place}
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
        for depth in range(2, len(ids) + 1):
            for place in by_spelling.get(folded_name(ids[depth - 1]), ()):
                if folded_name(place) == folded_name(ids[depth - 1]):
                    near.setdefault(place, ("/".join(ids[:depth]), source))
            run_together = by_letters.get(_BETWEEN.sub("", "/".join(ids[:depth])).casefold())
            if run_together is not None and run_together.count("/") != depth - 1:
                near.setdefault(run_together, ("/".join(ids[:depth]), source))
    return {place: found for place, found in near.items() if place not in inhabited}

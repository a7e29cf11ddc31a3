"""What is wrong, or soon will be, with stored role assignments under a policy set; by the rules that writes are judged by."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from klausel.core.analysis.held_permissions import BothAllowed, Given, HeldPermissions, Thing
from klausel.core.analysis.permission_use import PermissionUse
from klausel.core.decisions.effective_roles import EffectiveRoles, Source
from klausel.core.policy.assignment import GROUP_PREFIX, Assignment, broken_rules, effective_assignments
from klausel.core.policy.holding import (
    Held,
    Pair,
    Rows,
    Way,
    duration_text,
    gather_rows,
    held_at,
    rows_by_subject,
    timing_of,
)
from klausel.core.policy.keepers import holders_of, kept_roles_and_domains
from klausel.core.policy.orphans import is_orphaned, why_orphaned
from klausel.core.policy.roles import RoleModel, depth_of, parent_domain, top_domain
from klausel.core.terms.counted import counted
from klausel.core.terms.moment import seconds_of_instant

SEPARATE = "separate-roles"
LACKING = "requires-role-above"
ORPHANED = "orphaned-assignments"
NO_KEEPER = "keep-one"
ONE_KEEPER = "only-one-holder"
ENDED = "ended"
ENDING = "ending"
UNREADABLE = "unreadable-times"
TOXIC = "toxic-permissions"
PRIVILEGED = "privileged"
NO_DECISION = "no-decision"
UNUSED = "unused-permissions"
KINDS = (
    *(SEPARATE, TOXIC, PRIVILEGED, LACKING, ORPHANED, NO_KEEPER, ONE_KEEPER, ENDED, ENDING, UNREADABLE),
    *(NO_DECISION, UNUSED),
)
OF_DECISIONS = (NO_DECISION, UNUSED)
"""The kinds that are found only with records of decisions."""

_SEVERAL = ""


class Finding(NamedTuple):
    """One thing to look at: whom and what it is about, what is the matter, and how to fix it.

    `subject` is None where a domain lacks somebody. Of a member of a group `role` is the group, and `domain` is None.
    """

    kind: str
    subject: str | None
    role: str
    domain: str | None
    message: str
    fix: str


class FindingsSearch:
    """Goes through all subjects once, and keeps no more than the places that have people, and who keeps each.

    `now` is in seconds since 1970; what ends within `soon` seconds is told too. With `inside`, only what concerns that domain
    or one below it. `permissions` finds what roles give, `use` what was used of that in a period, which is told in words.
    """

    def __init__(
        self,
        roles: RoleModel,
        now: float,
        soon: float,
        inside: str | None = None,
        permissions: HeldPermissions | None = None,
        use: tuple[PermissionUse, str] | None = None,
    ) -> None:
        self._roles, self._now, self._soon, self._inside = roles, now, soon, inside
        self._permissions, self._use = permissions, use
        self._peopled: set[str] = set()
        self._keeps: dict[str, list[str]] = {}
        for kept in (name for name, role in roles.roles.items() if role.keep_one):
            for holder in holders_of(roles, kept):
                self._keeps.setdefault(holder, []).append(kept)
        self._keepers: dict[Pair, str] = {}

    def of_subject(self, own: Sequence[Assignment], rows: Rows) -> Iterator[Finding]:
        """The findings about one subject by its own rows, and by these with those of all groups that they lead to."""
        subject = own[0].subject
        for row in own:
            yield from self._of_row(row, rows)
        # What a group holds is judged in its members, as in writes.
        if not subject.startswith(GROUP_PREFIX):
            held = held_at(subject, rows, self._now)
            yield from self._of_held(subject, held)
            self.note_keeper(subject, held)
            if self._permissions is not None and held.pairs:
                yield from self._of_permissions(subject, held, self._permissions)

    def of_places(self) -> Iterator[Finding]:
        """The findings about places with people; to be asked when all subjects have been gone through."""
        for role, domain in self.demanded():
            keeper = self._keepers.get((role, domain))
            fix = f"klausel assignments grant SUBJECT {_words(role, domain)}"
            if keeper is None:
                message = f"{domain} has people in it but no {role} whose role has no end"
                yield Finding(NO_KEEPER, None, role, domain, message, f"give somebody the role for good: {fix}")
            elif keeper != _SEVERAL:
                message = f"{keeper} is the only {role} in {domain} whose role has no end"
                yield Finding(ONE_KEEPER, keeper, role, domain, message, f"give a second one the role: {fix}")

    def demanded(self) -> list[Pair]:
        """Each role that must keep a holder, with each of the places with people that it belongs to, in order of the places."""
        found = {pair for domain in self._peopled for pair in kept_roles_and_domains(self._roles, domain)}
        return sorted((pair for pair in found if self._is_inside(pair[1])), key=lambda pair: pair[::-1])

    def note_place(self, domain: str) -> None:
        """There are people in a domain."""
        self._peopled.add(domain)

    def has_several_keepers(self, role: str, domain: str) -> bool:
        """Whether more than one subject that was noted keeps a role in a domain."""
        return self._keepers.get((role, domain)) == _SEVERAL

    def concerns(self, row: Assignment, rows: Rows) -> bool:
        """Whether a row is about the domain asked about: a membership is, where its group leads to a role in there."""
        if self._inside is None or not row.is_membership:
            return self._is_inside(row.domain)
        of_groups = rows_by_subject(rows.others)
        reached = gather_rows(row.role, of_groups.get(row.role, ()), of_groups)
        domains = [*(domain for _, domain in reached.pairs), *(one.domain for one in reached.others)]
        return any(self._is_inside(domain) for domain in domains)

    def _of_row(self, row: Assignment, rows: Rows) -> Iterator[Finding]:
        timing = timing_of(row, self._now)
        if not row.is_membership and (timing is None or timing.timing != "ended"):
            self._peopled.add(row.domain)
        if not self.concerns(row, rows):
            return
        domain, revoke = row.domain or None, _revoke(row.subject, row.role, row.domain)
        if not row.is_membership and is_orphaned(self._roles, row.role, depth_of(row.domain)):
            message = f"{row} counts for nothing: it has a role {why_orphaned(self._roles, row.role)}"
            fix = f"write was: {row.role} below the role that it is now, or klausel assignments rename-role, or {revoke}"
            yield Finding(ORPHANED, row.subject, row.role, domain, message, fix)
        if timing is not None and timing.timing == "ended":
            yield Finding(ENDED, row.subject, row.role, domain, timing.text(self._now), revoke)
        elif timing is not None and timing.timing == "unreadable":
            fix = f"grant it again with times, or {revoke}"
            yield Finding(UNREADABLE, row.subject, row.role, domain, timing.text(self._now), fix)
        elif row.ends is not None:
            left = (seconds_of_instant(row.ends) or 0) - self._now
            if left <= self._soon:
                message = f"{row}, which ends in {duration_text(left)}"
                fix = f"nothing if it should end; else klausel assignments grant {_words(*row.key)} --until INSTANT"
                yield Finding(ENDING, row.subject, row.role, domain, message, fix)

    def _of_held(self, subject: str, held: Held) -> Iterator[Finding]:
        by_top: dict[str, list[Pair]] = {}
        for pair in held.pairs:
            # An orphaned one counts for nothing anyway, and is told by its row.
            if not is_orphaned(self._roles, pair[0], depth_of(pair[1])):
                by_top.setdefault(top_domain(pair[1]), []).append(pair)
        for _, pairs in sorted(by_top.items()):
            lacking, separated = broken_rules(self._roles, pairs)
            if not lacking and not separated:
                continue
            ways = {(self._roles.name_now(role), domain): way for (role, domain), way in held.ways.items()}
            for role, domain, level in lacking:
                if self._is_inside(domain):
                    above = parent_domain(domain)
                    what = _held_text((role, domain), ways)
                    message = f"{subject} is {what}, but has no role of level {level} in {above}, so it counts for nothing"
                    fix = f"give a role in {above}, or {_taking(subject, (role, domain), ways)}"
                    yield Finding(LACKING, subject, role, domain, message, fix)
            for first, second, by_first, by_second in separated:
                inside = [pair for pair in (*by_second, *by_first) if self._is_inside(pair[1])]
                if inside:
                    role, domain = inside[0]
                    holding = "; ".join(_held_text(pair, ways) for pair in dict.fromkeys((*by_first, *by_second)))
                    message = f"{subject} holds both {first} and {second}, which nobody may: {holding}"
                    # Whichever side takes fewer steps; what contains both roles is on both.
                    side = min(by_second, by_first, key=len)
                    taking = "; ".join(dict.fromkeys(_taking(subject, pair, ways) for pair in side))
                    fix = f"decide which of them stays; {taking}"
                    yield Finding(SEPARATE, subject, role, domain, message, fix)

    def _of_permissions(self, subject: str, held: Held, permissions: HeldPermissions) -> Iterator[Finding]:
        if permissions.may_do_both(held.pairs):
            effective = EffectiveRoles.of_held(self._roles, held)
            for both in permissions.both_allowed(subject, effective, self._is_inside):
                yield _of_both(self._roles, subject, both, effective)
        if not permissions.has_privileged and self._use is None:
            return
        counting = [pair for pair in effective_assignments(self._roles, held.pairs) if self._is_inside(pair[1])]
        ways = {(self._roles.name_now(role), domain): way for (role, domain), way in held.ways.items()}
        if permissions.has_privileged:
            for pair in counting:
                roles, things = permissions.privileged_by(*pair)
                if roles or things:
                    why = [f"{', '.join(roles)} is privileged"] if roles else []
                    why += [f"it gives what is privileged: {', '.join(things)}"] if things else []
                    message = f"{subject} is {_held_text(pair, ways)}: {' and '.join(why)}"
                    fix = f"nothing where it is needed; else {_taking(subject, pair, ways)}"
                    yield Finding(PRIVILEGED, subject, *pair, message, fix)
        if self._use is not None and counting:
            yield from self._of_use(subject, counting, ways, permissions, *self._use)

    def _of_use(
        self,
        subject: str,
        counting: Sequence[Pair],
        ways: dict[Pair, Way],
        permissions: HeldPermissions,
        use: PermissionUse,
        period: str,
    ) -> Iterator[Finding]:
        if not use.asked(subject):
            role, domain = counting[0]
            held = "; ".join(_held_text(pair, ways) for pair in counting)
            message = f"nothing was decided about {subject} in {period}, who is {held}"
            fix = f"ask whether they are still here; {_taking(subject, counting[0], ways)}"
            yield Finding(NO_DECISION, subject, role, domain, message, fix)
            return
        used = list(use.of_subject(subject))
        for pair in counting:
            role, domain = pair
            given = permissions.given_by(role, domain)
            unused = _unused(given, domain, used)
            if unused:
                number = len(given.inside | given.elsewhere)
                told = "used none" if len(unused) == number else f"did not use {len(unused)}"
                names = "" if len(unused) == number else f": {_things_text(unused)}"
                of_them = counted(number, "permission")
                message = f"{subject} is {_held_text(pair, ways)}, and {told} of its {of_them} in {period}"
                fix = f"a weaker role, or {_taking(subject, pair, ways)}"
                yield Finding(UNUSED, subject, role, domain, message + names, fix)

    def note_keeper(self, subject: str, held: Held) -> None:
        """Takes down which places a subject keeps by what it holds."""
        if not self._keeps:
            return
        for pair in held.pairs:
            way = held.ways.get(pair)
            if way is None or way.ends is None:
                for kept in self._keeps.get(pair[0], ()):
                    if self._keepers.setdefault((kept, pair[1]), subject) != subject:
                        self._keepers[kept, pair[1]] = _SEVERAL

    def _is_inside(self, domain: str) -> bool:
        return self._inside is None or domain == self._inside or domain.startswith(f"{self._inside}/")


def _of_both(roles: RoleModel, subject: str, both: BothAllowed, effective: EffectiveRoles) -> Finding:
    """Who may do both of two things, by which roles, and how to take one of them away."""
    told, taking = [], []
    role, domain = "", both.domain
    for thing, permission in zip(both.invariant.things, both.permissions, strict=True):
        sources = [effective.source_of(roles, grant.grantee, both.asked) for grant in permission.allows]
        source = next((one for one in sources if one is not None), None)
        by = f" as {_source_text(source)}" if source is not None else ", as anyone may"
        told.append(f"{thing}{by}")
        if source is not None:
            role, domain = source.role, source.domain
            way = {(role, domain): Way(source.groups, source.ends)}
            taking.append(_taking(subject, (role, domain), way))
    where = f"in {both.domain}" if both.asked == both.domain else f"below {both.domain}"
    message = f'{subject} may {where} both {" and ".join(told)}, which "{both.invariant.name}" keeps apart'
    fix = f"decide which of them stays; {'; or '.join(dict.fromkeys(taking))}" if taking else "change the grants to anyone"
    return Finding(TOXIC, subject, role, domain, message, fix)


def _source_text(source: Source) -> str:
    return _held_text((source.role, source.domain), {(source.role, source.domain): Way(source.groups, source.ends)})


def _things_text(things: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{action} {resource_type}" for resource_type, action in sorted(things))


def _held_text(pair: Pair, ways: dict[Pair, Way]) -> str:
    way = ways.get(pair)
    through = f" through {', '.join(way.groups)}" if way is not None and way.groups else ""
    return f"{pair[0]} in {pair[1]}{through}"


def _taking(subject: str, pair: Pair, ways: dict[Pair, Way]) -> str:
    """How to take a pair from a subject: out of the group that it comes through, where it is not its own."""
    way = ways.get(pair)
    if way is not None and way.groups:
        return f"take {subject} out of the group: {_revoke(subject, way.groups[0], '')}"
    return f"take {pair[0]} away: {_revoke(subject, *pair)}"


def _revoke(subject: str, role: str, domain: str) -> str:
    return f"klausel assignments revoke {_words(subject, role, domain)}"


def _words(*words: str) -> str:
    return " ".join(shlex.quote(word) for word in words if word)


def _unused(given: Given, domain: str, used: Iterable[tuple[str, Thing]]) -> set[Thing]:
    """What a role held in a domain gives, and was not used where it gives that."""
    below, top = domain + "/", top_domain(domain)
    unused = set(given.inside | given.elsewhere)
    for where, thing in used:
        if where == domain or where.startswith(below):
            if thing in given.inside:
                unused.discard(thing)
        elif thing in given.elsewhere and top_domain(where) == top:
            unused.discard(thing)
    return unused

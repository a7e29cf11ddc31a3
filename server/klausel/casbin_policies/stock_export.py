"""From a policy set to a stock Casbin model and its rows, which need no code of ours, and the proof that both decide alike.

What stock Casbin cannot say is named, nothing is guessed; on request it is left out, so that less is allowed, never more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from klausel.casbin_policies.stock_condition import NotSpelled, kinds_in, spelled
from klausel.casbin_policies.stock_proof import Difference, Proof, StockSet
from klausel.casbin_policies.stock_request import FieldKind, Layout, is_plain, is_plain_in_matcher, quoted
from klausel.core.conditions.tree import Attribute
from klausel.core.policy.assignment import Assignment, fault_in_assignment
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, RoleModel, is_joint
from klausel.core.terms.places import EVERY, EVERYWHERE
from klausel.core.terms.problem import Place

MOST_QUESTIONS = 5_000
_SOME = "?*"
"""Any id, where there must be one; no id can be written so in a place."""
_ALWAYS = "always"

_MODEL = """\
# Written by klausel export casbin. Subjects are written type:id, objects are types of resources.
{notes}[request_definition]
r = {request}

[policy_definition]
p = {policy}

[role_definition]
g = _, _{third}

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = {matcher}
"""


@dataclass(frozen=True, slots=True, order=True)
class NotStock:
    """What stock Casbin cannot say: its place, None for a role assignment, and a sentence."""

    place: Place | None
    message: str

    def __str__(self) -> str:
        return self.message if self.place is None else f"{self.place}: {self.message}"


class NotExpressible(Exception):
    """A policy set that stock Casbin cannot decide by; carries all that it cannot say."""

    def __init__(self, faults: Iterable[NotStock]) -> None:
        self.faults = tuple(dict.fromkeys(faults))
        super().__init__("\n".join(map(str, self.faults)))


@dataclass(frozen=True, slots=True)
class StockPair:
    """The texts of a model and of its policy, what was left out, and the questions that both were asked and decided alike."""

    model: str
    policy: str
    proof: Proof
    left_out: tuple[NotStock, ...] = ()


def stock_pair(
    policy: PolicySet,
    assignments: Sequence[Assignment],
    model_text: str,
    leaves_out: bool = False,
    most_questions: int = MOST_QUESTIONS,
) -> StockPair:
    """The stock pair of a policy set and role assignments, with the proof done; raises `NotExpressible`.

    `model_text` is Klausel's own model, by which the policy set decides. With `leaves_out`, grants that stock Casbin cannot
    say are left out, and with a deny every allow of the same action, which the deny could have limited.
    """
    faults = [*_beyond_stock(policy), *_beyond_links(policy, assignments)]
    written = _Written(policy)
    if faults or (written.faults and not leaves_out):
        raise NotExpressible([*faults, *written.faults])
    if not written.rows:
        raise NotExpressible([*written.faults, NotStock(None, "nothing is granted, and stock Casbin wants a p row")])
    stock = written.stock_set()
    links = dict.fromkeys(link for one in assignments for link in stock.links(one))
    try:
        proof = stock.prove(policy, written.policy, assignments, model_text, most_questions)
    except Difference as error:
        raise NotExpressible([NotStock(None, str(error))]) from None
    lines = [", ".join(row) for row in (*stock.rows, *links)]
    return StockPair(stock.model, "".join(f"{line}\n" for line in lines), proof, tuple(dict.fromkeys(written.faults)))


def _beyond_stock(policy: PolicySet) -> Iterator[NotStock]:
    roles = policy.roles
    for level in roles.levels:
        if level.constant is None and level.named_by is None:
            yield NotStock(level.place, f"no property names the {level.name}")
        for text in (level.name, level.constant or level.name):
            if not is_plain_in_matcher(text):
                yield NotStock(level.place, f'"{text}" cannot stand in a model of stock Casbin')
    for role in roles.roles.values():
        if role.contains_in:
            yield NotStock(role.place, f'"{role.name}" contains other roles in some places only')
        if not is_plain_in_matcher(role.name):
            yield NotStock(role.place, f'"{role.name}" cannot stand in a model of stock Casbin')


def _beyond_links(policy: PolicySet, assignments: Iterable[Assignment]) -> Iterator[NotStock]:
    for assignment in assignments:
        named = assignment._replace(role=policy.roles.name_now(assignment.role))
        if assignment.is_membership or assignment.subject.startswith("group:"):
            yield NotStock(None, f"{assignment}: the members of groups are not roles; assign the roles to people")
        elif assignment.starts or assignment.ends:
            yield NotStock(None, f"{assignment}: stock Casbin has no clock")
        elif not all(map(is_plain, assignment.key)):
            yield NotStock(None, f"{assignment}: its names cannot stand in a policy file of stock Casbin")
        elif fault := fault_in_assignment(policy.roles, named):
            yield NotStock(None, f"{assignment}: {fault}")


@dataclass
class _Written:
    """The grants of a policy set that stock Casbin can say, as rows, and what it cannot say of the others."""

    whole: PolicySet
    faults: list[NotStock] = field(default_factory=list)
    rows: list[dict[str, str]] = field(default_factory=list)
    layout: Layout = field(init=False)
    policy: PolicySet = field(init=False)
    kinds: dict[str, dict[Attribute, FieldKind]] = field(default_factory=dict)
    conditions: dict[str, str] = field(default_factory=dict)
    """What the matcher says for each name in the column of conditions."""
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.layout = Layout.of(self.whole.roles)
        kept, denied = [], {}
        for grant in self.whole.grants:
            try:
                self._check(grant)
                kept.append(grant)
            except NotSpelled as error:
                self.faults.append(NotStock(grant.place, str(error)))
                if grant.effect == "deny":
                    denied[grant.resource_type, grant.action] = grant
        for grant in kept:
            cause = denied.get((grant.resource_type, grant.action))
            if cause is not None and grant.effect == "allow":
                self.faults.append(
                    NotStock(grant.place, f"{grant.action} {grant.resource_type} could be denied by {cause.source}")
                )
        kept = [one for one in kept if one.effect == "deny" or (one.resource_type, one.action) not in denied]
        for grant in kept:
            self.layout.add(self.kinds_of(grant))
        self.policy = replace(self.whole, grants=tuple(kept))
        for grant in kept:
            self.rows += self._rows(grant)

    def kinds_of(self, grant: Grant) -> dict[Attribute, FieldKind]:
        """The attributes of its condition, with their kinds."""
        return {} if grant.condition is None else kinds_in(grant.condition, self.whole.declarations(grant.resource_type))

    def _check(self, grant: Grant) -> None:
        if is_joint(grant.grantee):
            raise NotSpelled(f'stock Casbin cannot ask for "{grant.grantee}", only for one role')
        roles = self.whole.roles
        if grant.grantee.startswith(ANY_PREFIX):
            for level in roles.levels[2:]:
                if level.requires_role_above and any(
                    grant.grantee in roles.closure[ANY_PREFIX + name]
                    for name in roles.earned_anywhere
                    if roles.roles[name].level == level.name
                ):
                    raise NotSpelled(f'stock Casbin cannot tell for "{grant.grantee}" whether there is a role above')
        for text in (grant.resource_type, grant.action, grant.scope.domain or EVERYWHERE):
            if not is_plain(text):
                raise NotSpelled(f'"{text}" cannot stand in a policy file of stock Casbin')
        if grant.condition is None:
            return
        kinds = self.kinds_of(grant)
        spelled(grant.condition, grant.effect, kinds, lambda attribute: str(attribute))
        known = self.kinds.setdefault(grant.resource_type, {})
        for attribute, kind in kinds.items():
            if known.get(attribute, kind) != kind:
                raise NotSpelled(f'"{attribute}" is a text here and true or false in another grant')
            for other in known:
                if other.root == attribute.root and other != attribute:
                    shorter, longer = sorted((other.path, attribute.path), key=len)
                    if longer[: len(shorter)] == shorter:
                        raise NotSpelled(f'"{attribute}" and "{other}" cannot both be flat')
        known.update(kinds)

    def _rows(self, grant: Grant) -> Iterator[dict[str, str]]:
        roles = self.whole.roles
        declared = self.whole.resource_types.get(grant.resource_type)
        asked = roles.level_named(declared.asked_in.get(grant.action, "")) if declared is not None else None
        deepest = len(roles.levels) if asked is None else asked.depth
        places = self._places(grant, deepest)
        if places is None:
            return
        at = roles.level_named(grant.scope.level) if grant.scope.level is not None else None
        if at is not None and at.depth >= deepest and asked is not None:
            if at.depth > deepest:
                return
            # Levels below are not looked at there, whatever the request says of them.
            last = max(
                (number for number, name in enumerate(self.layout.of_levels[: at.depth]) if name is not None), default=0
            )
            places = [_SOME if place == EVERYWHERE and number == last else place for number, place in enumerate(places)]
            at = None
        if at is not None and self.layout.exactly(at.depth) is None:
            return
        columns = {name: place for name, place in zip(self.layout.of_levels, places, strict=True) if name is not None}
        condition = self._condition_name(grant)
        for holder in _holders(roles, grant.grantee):
            name = holder.removeprefix(ANY_PREFIX)
            level = None if holder == ANYONE else roles.level_of(name)
            if level is not None and holder == name and level.depth > deepest:
                continue
            lvl = ANYONE if level is None else level.name if holder == name else ANY_PREFIX + level.name
            yield {
                "sub": holder,
                "lvl": lvl,
                **columns,
                "at": EVERYWHERE if at is None else at.name,
                "obj": grant.resource_type,
                "act": grant.action,
                "cond": condition,
                "eft": grant.effect,
            }

    def _places(self, grant: Grant, deepest: int) -> list[str] | None:
        """What the columns of the levels say of the place of a grant; None where no request lies in it."""
        if grant.scope.domain is None:
            return [EVERYWHERE] * len(self.layout.levels)
        parts = grant.scope.domain.split("/")
        if len(parts) > deepest:
            return None
        for level, part in zip(self.layout.levels, parts, strict=False):
            if level.constant is not None and part not in (EVERY, level.constant):
                return None
        found = [_SOME if part == EVERY else part for part in parts]
        return found + [EVERYWHERE] * (len(self.layout.levels) - len(parts))

    def _condition_name(self, grant: Grant) -> str:
        if grant.condition is None:
            return _ALWAYS
        text = spelled(grant.condition, grant.effect, self.kinds_of(grant), self.layout.field_of)
        if text not in self.names:
            base = grant.condition_text if grant.condition_text in self.whole.conditions else "condition"
            if not is_plain_in_matcher(base) or base == _ALWAYS:
                base = "condition"
            number, name = 1, base
            while name in self.conditions:
                number += 1
                name = f"{base}-{number}"
            self.names[text] = name
            self.conditions[name] = text
        return self.names[text]

    def stock_set(self) -> StockSet:
        """The model and the rows, with the columns that they need."""
        one_level = len(self.layout.levels) == 1
        columns = ["sub", *([] if one_level else ["lvl"]), *self.layout.level_fields]
        columns += ["at"] if any(row["at"] != EVERYWHERE for row in self.rows) else []
        columns += ["obj", "act", *(["cond"] if self.conditions else []), "eft"]
        rows = dict.fromkeys(("p", *(row[column] for column in columns)) for row in self.rows)
        model = _MODEL.format(
            notes="".join(f"# r.{name} is {attribute}, as text\n" for attribute, name in self.layout.of_properties.items()),
            request=", ".join(self.layout.fields),
            policy=", ".join(columns),
            third=", _" if self.layout.level_fields else "",
            matcher=" && ".join(self._matcher(columns)),
        )
        anywhere = frozenset(row["sub"].removeprefix(ANY_PREFIX) for row in self.rows if row["sub"].startswith(ANY_PREFIX))
        return StockSet(self.layout, self.whole.roles, model, tuple(rows), columns.index("obj") + 1, anywhere, self.kinds)

    def _matcher(self, columns: Sequence[str]) -> Iterator[str]:
        # What is looked at first decides most rows.
        yield "r.obj == p.obj"
        yield "r.act == p.act"
        yield from self.layout.is_one_domain
        yield self._who()
        for name in self.layout.level_fields:
            some = any(row[name] == _SOME for row in self.rows)
            yield f'(p.{name} == "{EVERYWHERE}" || r.{name} == p.{name}' + (
                f' || p.{name} == "{_SOME}" && r.{name} != "")' if some else ")"
            )
        if "at" in columns:
            choices = [f'p.at == "{EVERYWHERE}"']
            for level in self.layout.levels:
                holds = self.layout.exactly(level.depth)
                if holds is not None and any(row["at"] == level.name for row in self.rows):
                    choices.append(" && ".join([f"p.at == {quoted(level.name)}", *holds]))
            yield f"({' || '.join(choices)})"
        if "cond" in columns:
            choices = [
                f'p.cond == "{_ALWAYS}"',
                *(f"p.cond == {quoted(name)} && {text}" for name, text in self.conditions.items()),
            ]
            yield f"({' || '.join(choices)})"

    def _who(self) -> str:
        choices = [f'p.sub == "{ANYONE}"']
        if len(self.layout.levels) == 1:
            return f"({choices[0]} || {self._holds('p.sub', 1)})"
        used = {row["lvl"] for row in self.rows}
        for level in self.layout.levels:
            above = self._roles_above(level.depth)
            if above is None:
                continue
            if level.name in used:
                named = self.layout.named(level.depth)
                choices.append(
                    " && ".join([f"p.lvl == {quoted(level.name)}", *named, self._holds("p.sub", level.depth), *above])
                )
            if ANY_PREFIX + level.name in used:
                choices.append(" && ".join([f"p.lvl == {quoted(ANY_PREFIX + level.name)}", self._holds("p.sub", 1), *above]))
        return f"({' || '.join(choices)})"

    def _holds(self, role: str, depth: int) -> str:
        where = f", {self.layout.domain(depth)}" if self.layout.level_fields else ""
        return f"g({self.layout.subject}, {role}{where})"

    def _roles_above(self, depth: int) -> list[str] | None:
        """What must hold for the roles of a level to count; None where they never do."""
        roles, found = self.whole.roles, []
        while depth > 1 and roles.levels[depth - 1].requires_role_above:
            depth -= 1
            names = [role.name for role in roles.roles.values() if role.level == roles.levels[depth - 1].name]
            if not names:
                return None
            found.append(f"({' || '.join(self._holds(quoted(name), depth) for name in names)})")
        return found


def _holders(roles: RoleModel, grantee: str) -> list[str]:
    """Who is to have a row for a grant: each role and `any` role that stands for its grantee.

    A role that also gives its `any` form needs none of its own where that has one.
    """
    if grantee == ANYONE:
        return [ANYONE]
    found = [name for name, names in roles.closure.items() if grantee in names]
    return sorted(name for name in found if ANY_PREFIX + name not in found)

"""From a policy set to a stock Casbin model and its rows, which need no code of ours, and the proof that both decide alike.

Stock Casbin has roles in domains that lie beside each other, and no conditions: what needs more is named, nothing is guessed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import casbin
from casbin.persist import load_policy_line

from klausel.casbin_policies.engine import compile_policy
from klausel.core.decisions.decide import decide
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.assignment import Assignment, fault_in_assignment
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import ANYONE
from klausel.core.terms.identifiers import split_subject_key
from klausel.core.terms.places import EVERY, EVERYWHERE
from klausel.core.terms.problem import Place
from klausel.core.terms.request import Action, Request, Resource, Subject

_MODEL = """\
# Written by klausel export casbin. Subjects are written type:id, objects are types of resources.
[request_definition]
r = sub, {dom}obj, act

[policy_definition]
p = sub, {dom}obj, act, eft

[role_definition]
g = _, _{third}

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = (p.sub == "{anyone}" || g(r.sub, p.sub{in_domain})) && {same_domain}r.obj == p.obj && r.act == p.act
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
    """The texts of a model and of its policy, and how many questions both decided alike."""

    model: str
    policy: str
    questions: int


def stock_pair(policy: PolicySet, assignments: Sequence[Assignment], model_text: str) -> StockPair:
    """The stock pair of a policy set and role assignments, with the proof done; raises `NotExpressible`.

    `model_text` is Klausel's own model, by which the policy set decides.
    """
    faults = [*_beyond_stock(policy), *_beyond_links(policy, assignments)]
    if faults:
        raise NotExpressible(faults)
    has_domains = policy.roles.levels[0].constant is None
    model = _MODEL.format(
        dom="dom, " if has_domains else "",
        third=", _" if has_domains else "",
        in_domain=", r.dom" if has_domains else "",
        same_domain=f'(p.dom == "{EVERYWHERE}" || r.dom == p.dom) && ' if has_domains else "",
        anyone=ANYONE,
    )
    rows = [*_rules(policy, has_domains), *_links(policy, assignments, has_domains)]
    pair = StockPair(model, "".join(f"{', '.join(row)}\n" for row in dict.fromkeys(rows)), 0)
    return StockPair(pair.model, pair.policy, _prove(policy, assignments, pair, model_text))


def _beyond_stock(policy: PolicySet) -> Iterator[NotStock]:
    roles = policy.roles
    if len(roles.levels) != 1:
        for level in roles.levels[1:]:
            yield NotStock(
                level.place, f'domains of the level "{level.name}" lie in others, and those of stock Casbin do not'
            )
    elif roles.levels[0].constant is None and roles.levels[0].named_by is None:
        yield NotStock(roles.levels[0].place, "no property names the domain")
    for role in roles.roles.values():
        if role.contains_in:
            yield NotStock(role.place, f'"{role.name}" contains other roles in some places only')
    known = {*roles.roles, ANYONE}
    for grant in policy.grants:
        if grant.condition is not None:
            yield NotStock(grant.place, f"stock Casbin has no such condition: {grant.condition_text or grant.condition}")
        if grant.grantee not in known:
            yield NotStock(grant.place, f'stock Casbin cannot ask for "{grant.grantee}", only for a role in the domain')
        if grant.scope.domain is not None and EVERY in grant.scope.domain:
            yield NotStock(grant.place, f"stock Casbin cannot ask for {grant.scope.words}")
        elif grant.scope.domain is not None and not _is_plain(grant.scope.domain):
            yield NotStock(grant.place, f'"{grant.scope.domain}" cannot stand in a policy file of stock Casbin')
    if not policy.grants:
        yield NotStock(None, "nothing is granted, and stock Casbin wants a p row")


def _beyond_links(policy: PolicySet, assignments: Iterable[Assignment]) -> Iterator[NotStock]:
    for assignment in assignments:
        named = assignment._replace(role=policy.roles.name_now(assignment.role))
        if assignment.is_membership or assignment.subject.startswith("group:"):
            yield NotStock(None, f"{assignment}: the members of groups are not roles; assign the roles to people")
        elif assignment.starts or assignment.ends:
            yield NotStock(None, f"{assignment}: stock Casbin has no clock")
        elif not all(map(_is_plain, assignment.key)):
            yield NotStock(None, f"{assignment}: its names cannot stand in a policy file of stock Casbin")
        elif fault := fault_in_assignment(policy.roles, named):
            yield NotStock(None, f"{assignment}: {fault}")


def _is_plain(text: str) -> bool:
    """Whether all readers of stock policy files, of Python and of JavaScript, read a field as it is."""
    return text.isprintable() and text == text.strip() and not any(one in text for one in ",\"#\\()[]'")


def _rules(policy: PolicySet, has_domains: bool) -> Iterator[tuple[str, ...]]:
    """The `p` rows. Whoever has a role has those that it contains, so each of these is told of the role, too."""
    holders: dict[str, list[str]] = {}
    for role, contained in policy.roles.closure.items():
        for name in {role, *contained}:
            holders.setdefault(name, []).append(role)
    for grant in policy.grants:
        for role in (
            [grant.grantee] if grant.grantee == ANYONE else sorted(set(holders[grant.grantee]) & set(policy.roles.roles))
        ):
            domain = (grant.scope.domain or EVERYWHERE,) if has_domains else ()
            yield ("p", role, *domain, grant.resource_type, grant.action, grant.effect)


def _links(policy: PolicySet, assignments: Iterable[Assignment], has_domains: bool) -> Iterator[tuple[str, ...]]:
    for subject, role, domain in (assignment.key for assignment in assignments):
        yield ("g", subject, policy.roles.name_now(role), *((domain,) if has_domains else ()))


def _prove(policy: PolicySet, assignments: Sequence[Assignment], pair: StockPair, model_text: str) -> int:
    """How many questions there are, all decided alike; raises `NotExpressible` with the first that is not."""
    level = policy.roles.levels[0]
    named = [grant.scope.domain for grant in policy.grants] + [assignment.domain for assignment in assignments]
    domains = [level.constant] if level.constant is not None else [*dict.fromkeys(filter(None, named)), "unknown"]
    # Of each role a holder of its own is asked about, beside the people there are.
    held = [*assignments]
    for role, domain in itertools.product(policy.roles.roles, domains):
        held.append(Assignment(f"user:holder-of-{role}", role, domain or ""))
    stock = _stock(pair, _links(policy, held, level.constant is None))
    pairs: dict[str, list[tuple[str, str]]] = {"user:unknown": []}
    for subject, role, domain in (assignment.key for assignment in held):
        pairs.setdefault(subject, []).append((policy.roles.name_now(role), domain))
    compiled = compile_policy(policy, model_text)
    effective = {subject: EffectiveRoles.of(policy.roles, its) for subject, its in pairs.items()}
    actions = [*dict.fromkeys(action for one in policy.resource_types.values() for action in one.actions), "unknown"]
    count = 0
    for subject, domain, type_, action in itertools.product(pairs, domains, [*policy.resource_types, "unknown"], actions):
        count += 1
        subject_type, id_ = split_subject_key(subject) or ("", subject)
        properties = {} if level.constant is not None else {level.named_by or "": domain}
        request = Request(Subject(subject_type, id_), Action(action), Resource(type_, "1", properties))
        ours = decide(policy, compiled, lambda key, at: effective[key].roles_in(at), request).allowed
        asked = [subject, *([] if level.constant is not None else [domain]), type_, action]
        if bool(stock.enforce(*asked)) != ours:
            said = f"{', '.join(map(str, asked))}: the policies {'allow' if ours else 'deny'} it, and stock Casbin would not"
            raise NotExpressible([NotStock(None, said)])
    return count


def _stock(pair: StockPair, links: Iterable[tuple[str, ...]]) -> casbin.Enforcer:
    model = casbin.Model()
    model.load_model_from_text(pair.model)
    for line in dict.fromkeys((*pair.policy.splitlines(), *(", ".join(link) for link in links))):
        load_policy_line(line, model)
    enforcer = casbin.Enforcer(model)
    enforcer.build_role_links()
    return enforcer

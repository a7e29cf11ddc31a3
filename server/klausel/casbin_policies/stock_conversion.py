"""From a stock Casbin set to the files of a policy folder and role assignments, and the proof that both decide alike.

A subject `alice` becomes `user:alice`, an object a resource type, and a domain stays one. What is granted to a name becomes
the role of that name, so whoever is granted something directly has a role of their own.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from klausel.casbin_policies.engine import compile_policy
from klausel.casbin_policies.stock_set import NotCarriedOver, StockFault, StockSet
from klausel.core.decisions.decide import decide
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.formatting.files import format_file
from klausel.core.loading.load import FEATURES_FOLDER, ROLES_FILE, SourceFile, load_policy
from klausel.core.policy.assignment import Assignment, fault_in_assignment
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.identifiers import fault_in_domain_id, is_name, is_type_or_action, subject_key
from klausel.core.terms.problem import FormatLossError, PolicyError
from klausel.core.terms.request import Action, Request, Resource, Subject

SUBJECT_TYPE = "user"
EVERYTHING = "everything"
"""Level and domain of a set without domains."""
_FEATURE = f"{FEATURES_FOLDER}imported.yaml"


@dataclass(frozen=True, slots=True)
class Converted:
    """What a stock set became.

    `of_role_names` are the assignments that only count where an application asks with the name of a role as the subject;
    `renamed` are the names of roles that had to be written otherwise. `questions` were decided alike by both.
    """

    files: tuple[SourceFile, ...]
    assignments: tuple[Assignment, ...]
    of_role_names: tuple[Assignment, ...]
    renamed: dict[str, str]
    questions: int


def convert(stock: StockSet, model_text: str) -> Converted:
    """The policy folder of a stock set, with the proof done; raises `NotCarriedOver`.

    `model_text` is Klausel's own model, by which the made folder decides.
    """
    conversion = _Conversion(stock)
    try:
        files = conversion.files()
    except (PolicyError, FormatLossError) as error:
        raise NotCarriedOver([StockFault(stock.model_file, 0, f"what it would become is refused: {error}")]) from error
    result = load_policy(files)
    if result.policy is None:
        faults = [StockFault(stock.policy_file, 0, f"what it would become is refused: {one}") for one in result.problems]
        raise NotCarriedOver([fault for fault, one in zip(faults, result.problems, strict=True) if one.severity == "error"])
    people, of_role_names = conversion.assignments()
    for assignment in (*people, *of_role_names):
        fault = fault_in_assignment(result.policy.roles, assignment)
        if fault:
            raise NotCarriedOver([StockFault(stock.policy_file, 0, f"the role assignment {assignment}: {fault}")])
    questions = _prove(stock, result.policy, (*people, *of_role_names), model_text)
    renamed = {name: new for name, new in conversion.names.items() if name != new}
    return Converted(files, people, of_role_names, renamed, questions)


class _Conversion:
    def __init__(self, stock: StockSet) -> None:
        self.stock = stock
        self.level = stock.domain_name or EVERYTHING
        # Names that others have, which makes them roles beside what they are granted.
        self.had = {link.role for link in stock.links}
        self.names = self._role_names()
        self.faults: list[StockFault] = []
        self._check_names()
        self.contained = self._contained()
        if self.faults:
            raise NotCarriedOver(self.faults)

    def _fault(self, line: int, message: str) -> None:
        self.faults.append(StockFault(self.stock.policy_file, line, message))

    def _role_names(self) -> dict[str, str]:
        """For each name that is a role here how it is written, in order of appearance."""
        roles = dict.fromkeys([*(rule.subject for rule in self.stock.rules), *(link.role for link in self.stock.links)])
        return {name: name if is_name(name) else _as_name(name) for name in roles}

    def _check_names(self) -> None:
        lines: dict[str, int] = {}
        for line, name in [
            *((rule.line, rule.subject) for rule in self.stock.rules),
            *((link.line, link.role) for link in self.stock.links),
        ]:
            lines.setdefault(name, line)
        first: dict[str, str] = {}
        for name, new in self.names.items():
            if not is_name(new):
                self._fault(
                    lines[name], f'"{name}" cannot name a role; begin it with a letter, and keep it to 64 characters'
                )
            elif first.setdefault(new, name) != name:
                self._fault(lines[name], f'"{name}" and "{first[new]}" would both be the role {new}; rename one of them')
        effects: dict[tuple[str, str | None, str, str], str] = {}
        for rule in self.stock.rules:
            if not is_type_or_action(rule.object):
                self._fault(
                    rule.line,
                    f'the object "{rule.object}" cannot be a resource type (letters, digits and _-.:/#?=&%+~@, a letter first); '
                    "rename it here and where applications ask about it",
                )
            if not is_type_or_action(rule.action):
                self._fault(
                    rule.line,
                    f'the action "{rule.action}" cannot be one here (letters, digits and _-.:/#?=&%+~@, a letter first); '
                    "rename it here and where applications ask for it",
                )
            self._check_domain(rule.line, rule.domain)
            what = (rule.subject, rule.domain, rule.object, rule.action)
            if effects.setdefault(what, rule.effect) != rule.effect:
                self._fault(
                    rule.line, "this row and an earlier one allow and deny the same; take out the allow, which has no effect"
                )
        for link in self.stock.links:
            self._check_domain(link.line, link.domain)
            if link.member == link.role:
                self._fault(link.line, f'"{link.role}" has itself, which means nothing; take the line out')

    def _check_domain(self, line: int, domain: str | None) -> None:
        fault = None if domain is None else fault_in_domain_id(domain)
        if fault:
            self._fault(line, f'the domain "{domain}" {fault}')

    def domains_of(self, role: str) -> set[str | None]:
        """The domains in which a role is had, is granted something or has others."""
        return {
            *(rule.domain for rule in self.stock.rules if rule.subject == role),
            *(link.domain for link in self.stock.links if role in (link.role, link.member)),
        }

    def _contained(self) -> dict[str, list[str]]:
        """The roles that each role has itself. With domains it must have them in all domains in which it is anything."""
        in_domains: dict[tuple[str, str], dict[str | None, int]] = {}
        for link in self.stock.links:
            if link.member in self.had and link.member != link.role:
                in_domains.setdefault((link.member, link.role), {}).setdefault(link.domain, link.line)
        contained: dict[str, list[str]] = {}
        for (member, role), lines in in_domains.items():
            lacking = sorted(str(domain) for domain in self.domains_of(member) - set(lines))
            if lacking:
                self._fault(
                    min(lines.values()),
                    f'"{member}" has "{role}" in {", ".join(sorted(map(str, lines)))} but not in {", ".join(lacking)}, '
                    "and a role contains the same everywhere; add the missing lines, or make them two roles",
                )
            contained.setdefault(member, []).append(role)
        return contained

    def files(self) -> tuple[SourceFile, ...]:
        """The files of the policy folder, in canonical form."""
        return _file(ROLES_FILE, self._roles()), _file(_FEATURE, self._feature())

    def _roles(self) -> Iterator[str]:
        named = {"constant": EVERYTHING} if self.stock.domain_name is None else {"named_by": self.stock.domain_name}
        yield f"levels: {json.dumps({self.level: named})}"
        yield "roles:"
        for name, new in self.names.items():
            yield f"  {_text(new)}:"
            yield f"    level: {_text(self.level)}"
            if name in self.contained:
                yield f"    contains: {_texts(self.names[role] for role in self.contained[name])}"

    def _feature(self) -> Iterator[str]:
        actions: dict[str, dict[str, None]] = {}
        grants: dict[tuple[str, str, str, str | None], dict[str, None]] = {}
        for rule in self.stock.rules:
            actions.setdefault(rule.object, {})[rule.action] = None
            grants.setdefault((rule.effect, rule.subject, rule.object, rule.domain), {})[rule.action] = None
        yield "resource_types:"
        for object_, its in actions.items():
            yield f"  {_text(object_)}:"
            yield f"    actions: {_texts(its)}"
        yield "grants:"
        for (effect, role, object_, domain), its in grants.items():
            yield f"  - {effect}: {_text(self.names[role])}"
            yield f"    to: {_texts(its)}"
            yield f"    resource: {_text(object_)}"
            if domain is not None:
                yield f"    in: {_text(domain)}"

    def assignments(self) -> tuple[tuple[Assignment, ...], tuple[Assignment, ...]]:
        """The role assignments of people, and those of the names of roles as subjects."""
        people = {
            self._assignment(link.member, link.role, link.domain): None
            for link in self.stock.links
            if link.member not in self.had
        }
        of_role_names: dict[Assignment, None] = {}
        for name in self.names:
            for domain in sorted(self.domains_of(name), key=str):
                own = self._assignment(name, name, domain)
                if name in self.had:
                    of_role_names[own] = None
                elif any(rule.subject == name and rule.domain == domain for rule in self.stock.rules):
                    people[own] = None
        return tuple(people), tuple(of_role_names)

    def _assignment(self, subject: str, role: str, domain: str | None) -> Assignment:
        return Assignment(subject_key(SUBJECT_TYPE, subject), self.names[role], EVERYTHING if domain is None else domain)


def _prove(stock: StockSet, policy: PolicySet, assignments: Iterable[Assignment], model_text: str) -> int:
    """How many questions there are, all decided alike; raises `NotCarriedOver` with the first that is not."""
    compiled = compile_policy(policy, model_text)
    pairs: dict[str, list[tuple[str, str]]] = {}
    for assignment in assignments:
        pairs.setdefault(assignment.subject, []).append((assignment.role, assignment.domain))
    held = {subject: EffectiveRoles.of(policy.roles, its) for subject, its in pairs.items()}
    nobody = EffectiveRoles.of(policy.roles, ())
    rules, links = stock.rules, stock.links
    names = [rule.subject for rule in rules] + [name for link in links for name in (link.member, link.role)]
    where: list[str | None] = [None]
    if stock.domain_name is not None:
        found = [rule.domain for rule in rules] + [link.domain for link in links]
        where = [*_with_unknown([one for one in found if one is not None])]
    questions: Iterable[tuple[str, str | None, str, str]] = itertools.product(
        _with_unknown(names),
        where,
        _with_unknown([rule.object for rule in rules]),
        _with_unknown([rule.action for rule in rules]),
    )
    count = 0
    for subject, domain, object_, action in questions:
        count += 1
        properties = {} if domain is None or stock.domain_name is None else {stock.domain_name: domain}
        request = Request(Subject(SUBJECT_TYPE, subject), Action(action), Resource(object_, "1", properties))
        ours = decide(policy, compiled, lambda key, at: held.get(key, nobody).roles_in(at), request).allowed
        theirs = stock.asks(subject, domain, object_, action)
        if ours != theirs:
            place = "" if domain is None else f" in {domain}"
            message = f"{subject} {action} {object_}{place}: Casbin says {_said(theirs)}, the folder would say {_said(ours)}"
            raise NotCarriedOver([StockFault(stock.policy_file, 0, message)])
    return count


def _with_unknown(names: Collection[str]) -> list[str]:
    """The names, each once, and one that is not among them."""
    unknown = "unknown"
    while unknown in names:
        unknown += "_"
    return [*dict.fromkeys(names), unknown]


def _said(allowed: bool) -> str:
    return "allowed" if allowed else "denied"


def _as_name(text: str) -> str:
    return re.sub(r"[^\w.\-]", "_", text)


def _file(name: str, lines: Iterable[str]) -> SourceFile:
    content = "".join(f"{line}\n" for line in lines).encode()
    return SourceFile(name, name, format_file(SourceFile(name, name, content)))


def _text(text: str) -> str:
    # Texts of JSON are texts of YAML too, whatever they hold.
    return json.dumps(text, ensure_ascii=False)


def _texts(texts: Iterable[str]) -> str:
    found = list(texts)
    return _text(found[0]) if len(found) == 1 else json.dumps(found, ensure_ascii=False)

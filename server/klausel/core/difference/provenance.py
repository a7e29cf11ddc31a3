"""Which lines of the policy files give a permission: those of its grant, its conditions and the inheritance that leads to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from klausel.core.conditions.parser import named_conditions_in
from klausel.core.conditions.tokens import ExpressionFault
from klausel.core.loading.load import CONDITIONS_FILE, ROLES_FILE, SourceFile
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, RoleModel, is_joint, parts_of
from klausel.core.terms.places import EVERY
from klausel.core.text.csv_rows import read_csv
from klausel.core.text.decoding import decode
from klausel.core.text.yaml_nodes import Fields, Items, Node, Text, read_yaml

_GRANT_PARTS = ("resource", "when", "from", "until", "in", "at_level")


@dataclass(frozen=True, slots=True)
class Cause:
    """Lines of one file that must stand for a permission to be: what they say, and their numbers, sorted, at least one."""

    what: str
    file: str
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Permission:
    """One grant that reaches a role (`any <role>`, `anyone`) by a chain of inheritance, both ends included; and its causes."""

    holder: str
    chain: tuple[str, ...]
    grant: Grant
    causes: tuple[Cause, ...]


def permissions(policy: PolicySet, files: Iterable[SourceFile], resource_type: str, action: str) -> Iterator[Permission]:
    """Every allow and deny about one type and action, for each role that it reaches, in the order of the roles.

    `anyone`, and who holds several names together, come last, and `any` roles only where a grant names one. `files` are those
    that the policy set was read from.
    """
    texts = _Texts(policy, files)
    grants = policy.grants_about(resource_type, action)
    roles = policy.roles
    has_any = any(part.startswith(ANY_PREFIX) for grant in grants for part in parts_of(grant.grantee))
    names = [name for name in roles.inheritance if has_any or name in roles.roles]
    for holder in sorted(names, key=lambda name: name.startswith(ANY_PREFIX)):
        for grant in grants:
            chain = () if grant.grantee == ANYONE else roles.chain(holder, grant.grantee)
            if not chain and holder in roles.roles and not is_joint(grant.grantee):
                chain = _chain_in_a_place(roles, holder, grant.grantee)
                if chain:
                    yield Permission(
                        holder, chain, grant, (texts.grant(grant), *texts.links(chain), *texts.conditions(grant))
                    )
                continue
            if chain:
                links = [link for part in parts_of(grant.grantee) for link in texts.links(roles.chain(holder, part))]
                causes = (texts.grant(grant), *links, *texts.conditions(grant))
                yield Permission(holder, chain, grant, causes)
    for grant in grants:
        if grant.grantee == ANYONE or is_joint(grant.grantee):
            yield Permission(grant.grantee, (grant.grantee,), grant, (texts.grant(grant), *texts.conditions(grant)))


def _chain_in_a_place(roles: RoleModel, holder: str, wanted: str) -> tuple[str, ...]:
    """The chain that leads to a name through a role that is contained in one place alone; empty where there is none."""
    for name in roles.roles:
        if name in roles.closure[holder]:
            for inner, _ in roles.roles[name].contains_in:
                rest = roles.chain(inner, wanted) or _chain_in_a_place(roles, inner, wanted)
                if rest:
                    return (*roles.chain(holder, name), *rest)
    return ()


class _Texts:
    """The files of a policy set, read once more for the lines of what they say."""

    def __init__(self, policy: PolicySet, files: Iterable[SourceFile]) -> None:
        self._policy = policy
        self._yaml: dict[str, Node | None] = {}
        self._rows: dict[str, list[list[Text]]] = {}
        self._shown: dict[str, str] = {}
        for file in files:
            text = decode(file.content, file.shown_as)[0] or ""
            self._shown[file.name] = file.shown_as
            if file.name.endswith(".csv"):
                self._rows[file.shown_as] = read_csv(text, file.shown_as)[0]
            elif file.name.endswith(".yaml"):
                self._yaml[file.shown_as] = read_yaml(text, file.shown_as)[0]

    def grant(self, grant: Grant) -> Cause:
        """The lines of a grant that this one role, action and type need; a remark is none of them."""
        lines = {grant.place.line}
        for row in self._rows.get(grant.place.file, ()):
            if row[0].place == grant.place:
                lines |= set(_lines_of(row[0])) | set(_lines_of(row[-1]))
        for entry in _items(_get(self._yaml.get(grant.place.file), "grants")):
            if isinstance(entry, Fields) and entry.place == grant.place:
                lines |= set(_needed_lines(entry, grant))
        return Cause("grant", grant.place.file, tuple(sorted(lines)))

    def links(self, chain: tuple[str, ...]) -> Iterator[Cause]:
        """The lines of each link of a chain; a role and its own `any` form need no line."""
        for outer, inner in pairwise(chain):
            container, contained = outer.removeprefix(ANY_PREFIX), inner.removeprefix(ANY_PREFIX)
            if container != contained:
                yield self._link(container, contained)

    def _link(self, container: str, contained: str) -> Cause:
        places = [place for inner, place in self._policy.roles.roles[container].contains_in if inner == contained]
        what = f"{container} contains {contained}" + (f" in {', '.join(places)}" if places else "")
        file = self._shown[ROLES_FILE]
        written = _get(_get(_get(self._yaml[file], "roles"), container), "contains")
        keys = [key for key, _ in written.entries] if isinstance(written, Fields) else _items(written)
        for text in keys:
            if isinstance(text, Text) and text.value == contained:
                return Cause(what, file, tuple(_lines_of(text)))
        for file, rows in self._rows.items():
            for row in rows:
                if [text.value for text in row[:3]] == ["g", container, contained]:
                    return Cause(what, file, (row[0].place.line,))
        place = self._policy.roles.roles[container].place
        return Cause(what, place.file, (place.line,))

    def conditions(self, grant: Grant) -> Iterator[Cause]:
        """The lines of the named conditions that a grant uses, and of those that these use."""
        known = self._policy.conditions
        waiting = _names_in(grant.condition_text, known)
        seen: set[str] = set()
        root = self._yaml.get(self._shown.get(CONDITIONS_FILE, ""))
        while waiting:
            name = waiting.pop(0)
            if name in seen:
                continue
            seen.add(name)
            waiting += _names_in(known[name].text, known)
            place = known[name].place
            written = _get(root, name)
            lines = {place.line, *(_lines_of(written) if isinstance(written, Text) else ())}
            yield Cause(f"condition {name}", place.file, tuple(sorted(lines)))


def _names_in(text: str, known: Mapping[str, object]) -> list[str]:
    try:
        return list(named_conditions_in(text, known)) if text else []
    except ExpressionFault:
        return []


def _needed_lines(entry: Fields, grant: Grant) -> Iterator[int]:
    """The lines of an entry that name this grantee and this action, and of all parts that limit it."""
    for key, value in entry.entries:
        if key.value in _GRANT_PARTS:
            yield key.place.line
            yield from _lines_of(value) if isinstance(value, Text) else ()
        elif key.value in (grant.effect, "to"):
            yield key.place.line
            wanted = [grant.grantee, *parts_of(grant.grantee)] if key.value == grant.effect else [grant.action, EVERY]
            for text in (inner for item in _items(value) for inner in _items(_get(item, "all") or item)):
                if isinstance(text, Text) and text.value in wanted:
                    yield from _lines_of(text)


def _items(node: Node | None) -> tuple[Node, ...]:
    if isinstance(node, Items):
        return node.values
    return () if node is None else (node,)


def _get(node: Node | None, key: str) -> Node | None:
    return node.get(key) if isinstance(node, Fields) else None


def _lines_of(text: Text) -> range:
    return range(text.place.line, text.place_at(max(0, len(text.value.rstrip()) - 1)).line + 1)

"""What the role managers of stock say at one moment, as values that no later edit changes.

Stock's role managers are not safe to read while another thread edits them, and keep every name they are asked about; so a
plan never asks them. A snapshot gives the same answers: the same reach (`max_hierarchy_level` names in a chain), the same
matching functions, the same domains. All caches are bounded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from casbin.rbac.default_role_manager import DomainManager, RoleManager
from casbin.rbac.default_role_manager.role_manager import Role, match_error_handler

MAX_CACHED = 100_000

_SAME_NAME = DomainManager(1).matching_func.__code__

Link = tuple[str, str]


class RoleSnapshot(Protocol):
    """The roles of names at one moment; safe to share between threads."""

    closed: dict[Any, frozenset[str]]
    """The closures that are known already, by name, or by (name, domain) where `knows_domains`."""
    knows_domains: bool
    is_set: bool
    """Whether `roles_of` says all: for any two strings, `has_link(a, b)` is `b in roles_of(a)`."""

    def roles_of(self, name: str, domain: str = "") -> frozenset[str]:
        """The name itself and every role within reach."""

    def has_link(self, name1: Any, name2: Any, *domain: str) -> bool:
        """What the role manager's own `has_link` says."""


class RoleGraph:
    """The roles of a `RoleManager` without a matching function: names, and the roles directly above each."""

    knows_domains = False
    is_set = True

    def __init__(self, links: dict[str, list[str]], reach: int) -> None:
        self.links = links
        self.reach = reach
        self.closed: dict[Any, frozenset[str]] = {}

    def roles_of(self, name: str, domain: str = "") -> frozenset[str]:
        """The name itself and every role within reach, in any domain; a name without a role is not kept."""
        found = self.closed.get(name)
        if found is None:
            found = self._closure(name)
            if name in self.links:
                _keep(self.closed, name, found)
        return found

    def has_link(self, name1: Any, name2: Any, *domain: str) -> bool:
        """Whether the second name is within reach of the first."""
        if type(name1) is str and type(name2) is str:
            return name2 in self.roles_of(name1)
        reached = self._closure(name1)
        hash(name2)
        return any(name2 == role for role in reached)

    def _closure(self, name: Any) -> frozenset[Any]:
        return closure(name, lambda known: self.links.get(known, ()), self.reach)


class MatchedRoles:
    """The roles of a `RoleManager` with a matching function: a private copy, asked by one thread at a time."""

    knows_domains = False
    is_set = False

    def __init__(self, manager: Any) -> None:
        self.closed: dict[Any, frozenset[str]] = {}
        self._manager = manager
        self._known = frozenset(manager.all_roles)
        self._unmatched: dict[str, bool] = {}
        self._looping: dict[str, bool] = {}
        self._one_at_a_time = threading.Lock()

    def roles_of(self, name: str, domain: str = "") -> frozenset[str]:
        """The names within reach of a name, among those that the links name."""
        found = self.closed.get(name)
        if found is None:
            with self._one_at_a_time:
                found, looping = self._forgetting([name], lambda: self._reached(name))
            if looping:
                _keep(self._looping, name, True)
            _keep(self.closed, name, found)
        return found

    def has_link(self, name1: Any, name2: Any, *domain: str) -> bool:
        """What stock says when these are the first two names it is asked about."""
        if type(name1) is str and type(name2) is str:
            reached = self.roles_of(name1)
            if name1 == name2 or name2 in self._known:
                return name2 in reached
            if name1 not in self._looping and self._matches_nothing(name2):
                return False
        with self._one_at_a_time:
            return bool(self._forgetting([name1, name2], lambda: self._manager.has_link(name1, name2)))

    def _matches_nothing(self, name: str) -> bool:
        """Whether no known name is a pattern that this name fits; then only a loop could lead to it."""
        unmatched = self._unmatched.get(name)
        if unmatched is None:
            with self._one_at_a_time:
                unmatched = not self._manager._matching_roles(name)
            _keep(self._unmatched, name, unmatched)
        return unmatched

    def _reached(self, name: str) -> tuple[frozenset[str], bool]:
        """The names within reach, and whether one of them has this name among its roles."""
        node = self._manager._get_role(name)
        nodes = self._manager.all_roles
        found = closure(name, lambda known: [role.name for role in nodes[known].roles], self._manager.max_hierarchy_level)
        return found, any(user.name in found for user in node.users)

    def _forgetting(self, names: list[Any], question: Callable[[], Any]) -> Any:
        """The answer to a question that makes the manager remember names; they are taken out of it again."""
        nodes = self._manager.all_roles
        strangers = [name for name in dict.fromkeys(names) if name not in nodes]
        try:
            return question()
        finally:
            for node in [nodes.pop(name) for name in strangers if name in nodes]:
                for role in node.roles:
                    role.users.discard(node)
                for user in node.users:
                    user.roles.discard(node)


class DomainGraphs:
    """The roles of a `DomainManager`: a graph for each domain, made when it is first asked about."""

    knows_domains = True

    def __init__(self, manager: Any, earlier: DomainGraphs | None = None) -> None:
        matching = manager.matching_func
        plain = matching is None or getattr(matching, "__code__", None) is _SAME_NAME
        self.is_set = plain
        self._same_name = matching
        self.closed: dict[Any, frozenset[str]] = {}
        self._links: dict[Any, tuple[Link, ...]] = {
            domain: tuple(links) for domain, links in list(manager.all_links.items()) if links
        }
        self._rules = (manager.max_hierarchy_level, None if plain else matching, manager.domain_matching_func)
        self._graphs: dict[Any, RoleGraph | MatchedRoles] = {}
        if earlier is not None and earlier._rules == self._rules and manager.domain_matching_func is None:
            self._graphs = {
                domain: graph
                for domain, graph in list(earlier._graphs.items())
                if earlier._links.get(domain) == self._links.get(domain)
            }

    def roles_of(self, name: str, domain: str = "") -> frozenset[str]:
        """The name itself and every role within reach in the domain; a name without a role is not kept."""
        key = (name, domain)
        found = self.closed.get(key)
        if found is None:
            found = self._graph(domain).roles_of(name)
            if len(found) > 1:
                _keep(self.closed, key, found)
        return found

    def has_link(self, name1: Any, name2: Any, *domain: str) -> bool:
        """Whether the second name is within reach of the first in the domain; without a domain, in the domain ""."""
        if len(domain) > 1:
            raise RuntimeError("error: domain should be 1 parameter")
        where = domain[0] if domain else ""
        if type(name1) is str and type(name2) is str:
            return self._graph(where).has_link(name1, name2)
        return bool(_manager_of(self._links_in(where), self._rules[0], self._same_name).has_link(name1, name2))

    def _graph(self, domain: str) -> RoleGraph | MatchedRoles:
        graph = self._graphs.get(domain)
        if graph is None:
            links = self._links_in(domain)
            graph = self._graph_of(links)
            if links:
                _keep(self._graphs, domain, graph)
        return graph

    def _links_in(self, domain: str) -> list[Link]:
        links = list(self._links.get(domain, ()))
        same_domain = self._rules[2]
        if same_domain is not None:
            for other, more in self._links.items():
                if domain != other and match_error_handler(same_domain, domain, other):
                    links += more
        return links

    def _graph_of(self, links: list[Link]) -> RoleGraph | MatchedRoles:
        reach, same_name, _ = self._rules
        if same_name is None:
            above: dict[str, list[str]] = {}
            for name, role in links:
                above.setdefault(name, []).append(role)
            return RoleGraph(above, reach)
        return MatchedRoles(_manager_of(links, reach, same_name))


def closure(name: Any, roles_above: Callable[[Any], Iterable[Any]], reach: int) -> frozenset[Any]:
    """The name and the roles above it, at most `reach` names in a chain."""
    found: dict[Any, None] = {}
    front = [name]
    for _ in range(reach):
        front = [role for role in dict.fromkeys(front) if role not in found]
        if not front:
            break
        found.update(dict.fromkeys(front))
        front = [role for known in front for role in roles_above(known)]
    return frozenset(found)


def graph_of(manager: Any, earlier: object = None, touched: Iterable[str] | None = None) -> RoleGraph | MatchedRoles:
    """The snapshot of a `RoleManager`; made from an earlier one where only the links of the touched names changed since."""
    nodes: Mapping[str, Any] = manager.all_roles
    reach: int = manager.max_hierarchy_level
    if manager.matching_func is not None:
        return MatchedRoles(_copy_of(manager))
    if not isinstance(earlier, RoleGraph) or touched is None:
        return RoleGraph({name: _roles_above(node) for name, node in list(nodes.items()) if node.roles}, reach)
    links = dict(earlier.links)
    for name in touched:
        if name in nodes and nodes[name].roles:
            links[name] = _roles_above(nodes[name])
        else:
            links.pop(name, None)
    return RoleGraph(links, reach)


def _manager_of(links: Iterable[Link], reach: int, same_name: Any) -> Any:
    manager = RoleManager(reach)
    manager.add_matching_func(same_name)
    for name, role in links:
        manager.add_link(name, role)
    return manager


def _roles_above(node: Any) -> list[str]:
    return [role.name for role in list(node.roles)]


def _copy_of(manager: Any) -> Any:
    copy = RoleManager(manager.max_hierarchy_level)
    copy.matching_func = manager.matching_func
    copy.all_roles = {name: Role(name) for name in list(manager.all_roles)}
    for name, node in copy.all_roles.items():
        for role in _roles_above(manager.all_roles[name]):
            node.add_role(copy.all_roles[role])
    return copy


def _keep(cache: dict[Any, Any], key: Any, value: Any) -> None:
    if len(cache) >= MAX_CACHED:
        cache.clear()
    cache[key] = value

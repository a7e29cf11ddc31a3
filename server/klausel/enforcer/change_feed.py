"""Who is told when a model, a role manager or a function map changes, also by hand (`model.add_policy`, `policy.append`).

The parts of a model are given watching classes in place; they behave as before, and copies of them are plain again. Two
things cannot be seen: a change *inside* a row (`rows[0][1] = "x"`), and a change of a list after it was assigned as the rows
(the assertion has a copy of it). Change `assertion.policy` itself, or call `CompiledEnforcer.refresh` afterwards.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from casbin.model import Assertion, Model
from casbin.rbac.default_role_manager import DomainManager, RoleManager

from klausel.enforcer.role_snapshot import DomainGraphs, RoleSnapshot, graph_of

_EDIT = threading.RLock()
"""Held while a watched role manager is edited or read into a snapshot."""


class Listener(Protocol):
    """Who wants to know of changes."""

    def note_change(self) -> None:
        """Called after each change, in the thread that made it."""


class ChangeFeed:
    """Tells its listeners of changes, and does not keep them alive; a copy of a feed is the same feed."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = tuple(weakref.ref(listener) for listener in listeners)

    def tell(self) -> None:
        """Tells every listener."""
        for reference in self._listeners:
            listener = reference()
            if listener is not None:
                listener.note_change()

    def add(self, listener: Listener) -> None:
        """Makes this listener hear of changes too."""
        known = [known for known in (reference() for reference in self._listeners) if known is not None]
        if not any(other is listener for other in known):
            self._listeners = tuple(weakref.ref(other) for other in [*known, listener])

    def listeners(self) -> list[Listener]:
        """Those who hear of changes."""
        return [known for known in (reference() for reference in self._listeners) if known is not None]

    def __deepcopy__(self, memo: object) -> ChangeFeed:
        return self

    def __reduce__(self) -> tuple[type[ChangeFeed], tuple[()]]:
        return ChangeFeed, ()


class WatchedRows(list[Any]):
    """The rows of an assertion."""

    feed: ChangeFeed

    def __reduce_ex__(self, protocol: object) -> tuple[type, tuple[list[Any]]]:
        return list, (list(self),)


class WatchedParts(dict[str, Any]):
    """The sections of a model, the assertions of a section, or the functions of a function map."""

    feed: ChangeFeed

    def __reduce_ex__(self, protocol: object) -> tuple[type, tuple[dict[str, Any]]]:
        return dict, (dict(self),)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, _watched(value, self.feed))
        self.feed.tell()


class WatchedAssertion(Assertion):  # type: ignore[misc]
    """One definition of a model, with its rows and its role manager."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("policy", "rm"):
            value = _watched(value, self.feed)
        super().__setattr__(name, value)
        if name not in ("feed", "policy_map", "field_index_map", "priority_index"):
            self.feed.tell()


class _WatchedManager:
    """What watched role managers share: edits and snapshots keep out of each other's way."""

    feed: ChangeFeed
    _taken: RoleSnapshot | None = None
    _touched: set[str] | None = None  # names whose links changed since; None when anything may have changed

    def __setattr__(self, name: str, value: Any) -> None:
        with _EDIT:
            super().__setattr__(name, value)
            if name not in ("all_links", "all_roles", "matching_func", "domain_matching_func", "max_hierarchy_level"):
                return
            self._touched = None
        self.feed.tell()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_taken", "_touched")}

    def add_link(self, name1: str, name2: str, *domain: str) -> None:
        """As stock."""
        with _EDIT:
            super().add_link(name1, name2, *domain)  # type: ignore[misc]
            self._touch(name1)
        self.feed.tell()

    def delete_link(self, name1: str, name2: str, *domain: str) -> None:
        """As stock, but every copy of the link goes, so that nothing brings it back."""
        with _EDIT:
            self._delete_link(name1, name2, *domain)
            links = self._links_beside(*domain)
            links[:] = [link for link in links if tuple(link) != (name1, name2)]
            self._touch(name1)
        self.feed.tell()

    def clear(self) -> None:
        """As stock."""
        with _EDIT:
            super().clear()  # type: ignore[misc]
            self._touched = None
        self.feed.tell()

    def snapshot(self) -> RoleSnapshot:
        """What this role manager says now, for good."""
        with _EDIT:
            if self._taken is None or self._touched is None or self._touched:
                touched, self._touched = self._touched, set()
                self._taken = self._take(self._taken, touched)
            return self._taken

    def _touch(self, name: str) -> None:
        if self._touched is not None:
            self._touched.add(name)

    def _delete_link(self, name1: str, name2: str, *domain: str) -> None:
        super().delete_link(name1, name2, *domain)  # type: ignore[misc]

    def _links_beside(self, *domain: str) -> list[Any]:
        raise NotImplementedError

    def _take(self, earlier: RoleSnapshot | None, touched: set[str] | None) -> RoleSnapshot:
        raise NotImplementedError


class WatchedRoleManager(_WatchedManager, RoleManager):  # type: ignore[misc]
    """A `RoleManager` that tells of its changes."""

    def _delete_link(self, name1: str, name2: str, *domain: str) -> None:
        if self.matching_func is not None:
            super()._delete_link(name1, name2, *domain)
        elif (name1, name2) in self.all_links:  # what stock does, without looking for matches among all names
            self._get_role(name1).remove_role(self._get_role(name2))

    def _links_beside(self, *domain: str) -> list[Any]:
        links: list[Any] = self.all_links
        return links

    def _take(self, earlier: RoleSnapshot | None, touched: set[str] | None) -> RoleSnapshot:
        return graph_of(self, earlier, touched)


class WatchedDomainManager(_WatchedManager, DomainManager):  # type: ignore[misc]
    """A `DomainManager` that tells of its changes."""

    def _links_beside(self, *domain: str) -> list[Any]:
        links: list[Any] = self._get_links(*domain)
        return links

    def _take(self, earlier: RoleSnapshot | None, touched: set[str] | None) -> RoleSnapshot:
        return DomainGraphs(self, earlier if isinstance(earlier, DomainGraphs) else None)


def watch_model(model: Any, listener: Listener) -> None:
    """Lets the listener know of every change of the model, of its rows and of its role managers."""
    if not isinstance(model, Model):
        return
    if isinstance(model.model, WatchedParts):
        model.model.feed.add(listener)
        for section in model.model.values():
            for assertion in section.values():
                _watched(assertion.rm, ChangeFeed(listener))
        return
    model.model = _watched(model.model, ChangeFeed(listener))


def watch_functions(functions: Any, listener: Listener) -> None:
    """Lets the listener know of every function that is added to the map."""
    parts = getattr(functions, "fm", None)
    if isinstance(parts, WatchedParts):
        parts.feed.add(listener)
    elif isinstance(parts, dict):
        functions.fm = _watched(parts, ChangeFeed(listener))


def watch_managers(managers: Any, listener: Listener) -> Any:
    """The map of role managers, made to let the listener know of every change of it and of them."""
    return _watched(managers, ChangeFeed(listener))


def _watched(value: Any, feed: ChangeFeed) -> Any:
    """The value, made to tell this feed of its changes where it is of a kind that can."""
    if type(value) in (WatchedRoleManager, WatchedDomainManager):
        for listener in feed.listeners():
            value.feed.add(listener)
    elif type(value) is list or type(value) is WatchedRows:
        rows = WatchedRows(value)
        rows.feed = feed
        return rows
    elif type(value) is dict or type(value) is WatchedParts:
        return _watched_parts(value, feed)
    elif type(value) is Assertion or type(value) is WatchedAssertion:
        value.__dict__["feed"] = feed
        value.__class__ = WatchedAssertion
        for name in ("policy", "rm"):
            value.__dict__[name] = _watched(value.__dict__[name], feed)
    elif type(value) in _WATCHED_MANAGERS:
        value.__dict__["feed"] = feed
        value.__class__ = _WATCHED_MANAGERS[type(value)]
    return value


def _watched_parts(value: dict[str, Any], feed: ChangeFeed) -> WatchedParts:
    parts = WatchedParts({key: _watched(part, feed) for key, part in value.items()})
    parts.feed = feed
    return parts


_WATCHED_MANAGERS: dict[type, type] = {RoleManager: WatchedRoleManager, DomainManager: WatchedDomainManager}


def _telling(method: Callable[..., Any]) -> Callable[..., Any]:
    def changed(self: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return method(self, *arguments, **named)
        finally:
            self.feed.tell()

    changed.__name__ = method.__name__
    return changed


for _name in (
    *("append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse"),
    *("__setitem__", "__delitem__", "__iadd__", "__imul__"),
):
    setattr(WatchedRows, _name, _telling(getattr(list, _name)))
for _name in ("__delitem__", "pop", "popitem", "clear", "update", "setdefault", "__ior__"):
    setattr(WatchedParts, _name, _telling(getattr(dict, _name)))

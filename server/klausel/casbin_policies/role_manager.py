"""The role manager of the service: `g(roles, role, domain)` asks whether a role is among those held there."""

from __future__ import annotations

from collections.abc import Collection

from casbin.rbac import RoleManager


class EffectiveRolesManager(RoleManager):  # type: ignore[misc]
    """A pure set test; inheritance is resolved before (see `effective_roles`), so links are only kept to be listed."""

    has_link_is_membership = True

    def __init__(self) -> None:
        self._links: list[tuple[str, ...]] = []

    def clear(self) -> None:
        """Forgets the links."""
        self._links = []

    def add_link(self, name1: str, name2: str, *domain: str) -> None:
        """Keeps a link of inheritance."""
        self._links.append((name1, name2, *domain))

    def delete_link(self, name1: str, name2: str, *domain: str) -> None:
        """Takes a link of inheritance away."""
        self._links.remove((name1, name2, *domain))

    def has_link(self, name1: Collection[str], name2: str, *domain: str) -> bool:
        """Whether `name2` is among the names held."""
        return name2 in name1

    def get_roles(self, name: str, *domain: str) -> list[str]:
        """The names that a name contains directly."""
        return [link[1] for link in self._links if link[0] == name]

    def get_users(self, name: str, *domain: str) -> list[str]:
        """The names that contain a name directly."""
        return [link[0] for link in self._links if link[1] == name]

    def print_roles(self) -> None:
        """Does nothing; `klausel compile` lists the links."""

"""The scope of a grant: in which domains, and at which level, it holds."""

from __future__ import annotations

from dataclasses import dataclass

from klausel.core.policy.roles import RoleModel, depth_of
from klausel.core.terms.places import EVERYWHERE, covers

AT_LEVEL = " at level "
_AT_LEVEL_BEFORE = "//"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a grant holds: in one place and all below it (or everywhere: None), at one level only (or any: None).

    `domain` is a place as `klausel.core.terms.places` describes it.
    """

    domain: str | None = None
    level: str | None = None

    def __str__(self) -> str:
        """The form in CSV and in Casbin rows: `*`, `acme`, `acme/support`, `acme/*`, `acme at level account`."""
        return (self.domain or EVERYWHERE) + (f"{AT_LEVEL}{self.level}" if self.level else "")

    @property
    def words(self) -> str:
        """As people read it: `in acme at level workspace`; empty for everywhere."""
        parts = [] if self.domain is None else [f"in {self.domain}"]
        return " ".join([*parts, *([] if self.level is None else [f"at level {self.level}"])])

    def covers(self, domain: str | None, roles: RoleModel) -> bool:
        """Whether a request asked in this domain (None: in no domain) is inside the scope."""
        if self.domain is not None and (domain is None or not covers(self.domain, domain)):
            return False
        if self.level is None:
            return True
        level = roles.level_at(depth_of(domain)) if domain is not None else None
        return level is not None and level.name == self.level


def split_scope(text: str) -> tuple[str, str | None, int]:
    """The place, the level (None for any) and where that starts, of a scope as `str` writes it.

    `acme//workspace` is how `acme at level workspace` was written before, and still read.
    """
    for sign in (AT_LEVEL, _AT_LEVEL_BEFORE):
        place, found, level = text.partition(sign)
        if found:
            return place, level, len(place) + len(found)
    return text, None, len(text)

"""The scope of a grant: in which domains, and at which level, it holds."""

from __future__ import annotations

from dataclasses import dataclass

from klausel.core.policy.roles import RoleModel, depth_of

EVERYWHERE = "*"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a grant holds: in one domain and all below it (or everywhere: None), at one level only (or any: None)."""

    domain: str | None = None
    level: str | None = None

    def __str__(self) -> str:
        """The form in Casbin rows: `*`, `acme`, `acme/support`, `*//workspace`, `acme//workspace`."""
        return (self.domain or EVERYWHERE) + (f"//{self.level}" if self.level else "")

    @property
    def words(self) -> str:
        """As people read it: `in acme at level workspace`; empty for everywhere."""
        parts = [] if self.domain is None else [f"in {self.domain}"]
        return " ".join([*parts, *([] if self.level is None else [f"at level {self.level}"])])

    def covers(self, domain: str | None, roles: RoleModel) -> bool:
        """Whether a request asked in this domain (None: in no domain) is inside the scope."""
        if self.domain is not None and (
            domain is None or not (domain == self.domain or domain.startswith(self.domain + "/"))
        ):
            return False
        if self.level is None:
            return True
        level = roles.level_at(depth_of(domain)) if domain is not None else None
        return level is not None and level.name == self.level

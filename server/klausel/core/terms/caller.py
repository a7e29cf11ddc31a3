"""A caller of the service that has proved who it is: what it may ask, and about which top-level domains."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

SCOPES: dict[str, str] = {
    "check": "ask for decisions and menus",
    "explain": "ask why a decision is as it is",
    "search": "ask who may do what, and for filters of lists",
    "assign": "read and change role assignments and stored properties",
    "assign_on_behalf": "change role assignments on behalf of a person whom the policies let do so",
    "provision": "send people and groups, as identity providers do",
    "entities": "read and change stored properties alone",
    "audit": "read role assignments, stored properties and the logs of their changes",
    "policy": "read which policies are in force, and have them read again",
}
"""What a caller may be allowed to do, in words."""
TOKEN_PREFIX = "oauth:"
"""How the names of callers begin that were proved by a token of an issuer, so that no key can have one."""
PERSON_PREFIX = "oidc:"
"""How those of people begin who signed in by an OpenID provider."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller by its name in logs. `accounts` are the top-level domains that it may ask about; None for all."""

    name: str
    scopes: frozenset[str]
    accounts: frozenset[str] | None = None

    @property
    def logged_as(self) -> str:
        """How logs name it, apart from addresses, which prove nothing."""
        return f"caller:{self.name}"

    def reaches(self, domain: str | None) -> bool:
        """Whether it may ask about a domain; what is asked in none concerns no account."""
        return self.accounts is None or domain is None or domain.partition("/")[0] in self.accounts


def fault_in_caller(name: str, scopes: Collection[str], accounts: Collection[str]) -> str | None:
    """What is wrong with a caller that is to be known, as a sentence; None when it is good."""
    if not name or len(name) > 100 or not name.isprintable():
        return "a name has 1 to 100 printable characters"
    for prefix, whose in ((TOKEN_PREFIX, "a token"), (PERSON_PREFIX, "a person who signed in")):
        if name.startswith(prefix):
            return f'a name that begins with "{prefix}" is one of {whose}; choose another'
    unknown = sorted(set(scopes) - SCOPES.keys())
    if unknown:
        return f'there is no scope "{unknown[0]}"; there are {", ".join(SCOPES)}'
    if not scopes:
        return f"a caller without a scope may do nothing; there are {', '.join(SCOPES)}"
    return next((fault for one in accounts if (fault := fault_in_account(one))), None)


def fault_in_account(account: object) -> str | None:
    """Why this is no name of a top-level domain, as a sentence; None when it is one."""
    if isinstance(account, str) and account and "/" not in account and "*" not in account and account.isprintable():
        return None
    return f'"{account}" is no top-level domain; write the name of one, such as acme'

"""What somebody may do whom an OpenID provider knows, by what it says of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from klausel.core.terms.caller import Caller, fault_in_caller

FORM = "CLAIM=VALUE:SCOPES@ACCOUNTS"
EVERYBODY = "*"
_RULE = re.compile(r"(?P<claim>[^=]+)=(?P<value>.+):(?P<scopes>[a-z_]+(?:,[a-z_]+)*)(?:@(?P<accounts>[^@]+))?")


@dataclass(frozen=True, slots=True)
class ClaimRule:
    """Whoever has a value in a claim may do what these scopes open, in these accounts, or in all where it is None."""

    claim: str
    value: str
    scopes: frozenset[str]
    accounts: frozenset[str] | None

    def is_met_by(self, claims: Mapping[str, Any]) -> bool:
        """Whether the claim has the value, or is a list that holds it; `*` is met by any."""
        found = claim_in(claims, self.claim)
        values = found if isinstance(found, list) else [found]
        texts = [_text(value) for value in values if value is not None]
        return bool(texts) if self.value == EVERYBODY else self.value in texts


def read_claim_rule(text: str) -> ClaimRule:
    """The rule that a setting says; raises ValueError, with the end of a sentence."""
    found = _RULE.fullmatch(text)
    if found is None:
        raise ValueError(f"is no {FORM}; write it as groups=support:search,explain@acme, or without @ for all accounts")
    scopes = frozenset(found["scopes"].split(","))
    accounts = None if found["accounts"] is None else frozenset(found["accounts"].split(","))
    fault = fault_in_caller("somebody", scopes, accounts or ())
    if fault:
        raise ValueError(f"cannot be: {fault}")
    return ClaimRule(found["claim"], found["value"], scopes, accounts)


def claim_in(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or where there is none by a path with dots, such as `realm_access.roles`; None without it."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def caller_by(rules: Sequence[ClaimRule], name: str, claims: Mapping[str, Any]) -> Caller | None:
    """What somebody may do by the first rule that is met; None where none is.

    Rules are not added up: scopes of one would count in the accounts of another.
    """
    rule = next((one for one in rules if one.is_met_by(claims)), None)
    return None if rule is None else Caller(name, rule.scopes, rule.accounts)


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)

"""Which domain a request is asked in: read off the resource, as `policies/roles.yaml` declares."""

from __future__ import annotations

from dataclasses import dataclass

from klausel.core.policy.policy_set import ResourceType
from klausel.core.policy.roles import Level, RoleModel
from klausel.core.terms.identifiers import DOMAIN_CHARACTERS, fault_in_domain, fault_in_domain_id
from klausel.core.terms.request import Resource


@dataclass(frozen=True, slots=True)
class BadDomain:
    """The resource does not name one domain; `reason` says why, as a sentence."""

    reason: str


def domain_of(roles: RoleModel, declared: ResourceType | None, action: str, resource: Resource) -> str | BadDomain | None:
    """The domain (`acme`, `acme/support`), None when the resource names none, or why it is not clear.

    `declared` is the resource's type, None when no file declares it.
    """
    asked_in = declared.asked_in.get(action) if declared is not None and declared.asked_in else None
    domain: str | None = None
    unnamed: Level | None = None
    type_, _, properties = resource
    for level in roles.levels:
        part = properties.get(level.named_by) if level.identified_by != type_ else None  # type: ignore[arg-type]
        if type(part) is not str or not part.isidentifier():
            part = _part(level, resource, asked_in is None)
        if isinstance(part, BadDomain):
            return part
        if part is None:
            unnamed = unnamed or level
        elif unnamed is not None:
            if level.constant is None:
                return BadDomain(f'the resource names the {level.name} "{part}", but not its {unnamed.name}')
        else:
            domain = part if domain is None else f"{domain}/{part}"
        if level.name == asked_in:
            break
    if domain is not None and len(domain) > DOMAIN_CHARACTERS:
        return BadDomain(f"the domain is longer than {DOMAIN_CHARACTERS} characters")
    return domain


def domain_written(roles: RoleModel, text: str) -> str | BadDomain:
    """The whole domain that people write, with the constant parts that they need not write, or why it is none."""
    ids = text.split("/")
    fault = fault_in_domain(text)
    if fault:
        return BadDomain(f'"{text}" {fault}; write it as acme, or acme/support')
    fits = all(level.constant in (None, part) for level, part in zip(roles.levels, ids, strict=False))
    if fits and len(ids) <= len(roles.levels):
        return text
    whole: list[str] = []
    waiting = iter(ids)
    for level in roles.levels:
        part = level.constant or next(waiting, None)
        if part is None:
            break
        whole.append(part)
    if list(waiting):
        form = roles.form_of_domains()
        return BadDomain(f'"{text}" has more parts than there are levels; write {form}')
    return "/".join(whole)


def _part(level: Level, resource: Resource, id_may_name: bool) -> str | BadDomain | None:
    """The id of one level that the resource names; None when it names none."""
    if level.constant is not None:
        return level.constant
    named: object = None
    is_named = False
    if level.named_by is not None and level.named_by in resource.properties:
        named = resource.properties[level.named_by]
        is_named = True
    if id_may_name and resource.type == level.identified_by:
        if is_named and named != resource.id:
            return BadDomain(f'the resource\'s id and its property "{level.named_by}" do not name the same {level.name}')
        named = resource.id
        is_named = True
    if not is_named:
        return None
    fault = None if type(named) is str and named.isidentifier() else fault_in_domain_id(named)
    return BadDomain(f"the {level.name} {fault}") if fault else str(named)

"""What the pages about one subject share: what it holds now."""

from __future__ import annotations

from datetime import datetime

from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.service.decision_service import Service


def effective_roles_now(service: Service, subject: str, moment: datetime) -> EffectiveRoles:
    """The effective roles of a subject at a moment, under the policies in force. Raises `PoliciesTooOld`, `StorageError`."""
    resolved_roles = service.in_force_now().resolved_roles
    resolved_roles.refresh()
    return resolved_roles.effective_roles_of(subject, moment.timestamp())

"""What the questions share that leave something open: which subjects, which resources, which actions."""

from __future__ import annotations

from typing import Literal

from klausel.api.errors import ApiError
from klausel.service.decision_service import Service

Open = Literal["subject", "resource", "action"]
"""What a question is about; of a subject or a resource only the type counts, of an action nothing."""


def check_model(service: Service) -> None:
    """Raises `ApiError` (501) under a model with a matcher of its own: what is found from grants alone would not be true."""
    other_model = service.live.in_force.policy.compiled.other_model
    if other_model is not None:
        raise ApiError(501, f"the matcher of the model in force is not Klausel's ({other_model}), so this cannot be told")

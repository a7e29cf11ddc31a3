"""Lets these tests use the policy sets that others generate."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("decisions", "policy_tests")]

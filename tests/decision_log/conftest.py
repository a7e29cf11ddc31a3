"""The tests of decisions bring generated policies, and those of the HTTP door bring the doors of a service."""

import sys
from pathlib import Path

for _name in ("decisions", "api"):
    sys.path.append(str(Path(__file__).resolve().parents[1] / _name))

"""Which files make a policy set, wherever they are read from, and what is wrong with the others."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from klausel.core.loading.load import (
    CONDITIONS_FILE,
    ENTITIES_FILE,
    FEATURES_FOLDER,
    INVARIANTS_FILE,
    PROPERTIES_FILE,
    PROVISIONING_FILE,
    ROLES_FILE,
    TESTS_ENDING,
    TESTS_FOLDER,
    is_entity_file,
    is_test_file,
)
from klausel.core.terms.problem import Place, Problem, did_you_mean

MODEL_NAME = "model.conf"
STARTER = Path(__file__).resolve().parents[1] / "starter"
"""The policy repository that `klausel init` writes."""
DEFAULT_MODEL = STARTER / MODEL_NAME
"""The model that comes with Klausel, used where none is nearby."""
LARGEST_FILE = 4 * 1024 * 1024
SCHEMAS_FOLDER = "schemas/"
DEMO_FOLDER = "demo/"
DEMO_FILE = f"{DEMO_FOLDER}assignments.csv"
"""Role assignments of people to try the policies with; no part of the policy set."""
_IGNORED_FOLDERS = (DEMO_FOLDER, SCHEMAS_FOLDER)
_COPY = re.compile(r".+\.(yaml|csv)\.(orig|rej|new|bak|tmp|swp)")


def is_passed_over(name: str) -> bool:
    """Whether a file (or, with a slash at its end, a folder) of a policy set is left alone, with all that is in it."""
    if name.startswith(_IGNORED_FOLDERS) or name.endswith((".md", "~")):
        return True
    if any(part.startswith(".") for part in name.split("/")):
        return True
    return _is_left_by_an_editor(name.rpartition("/")[2])


def _is_left_by_an_editor(name: str) -> bool:
    """Whether a program made a file of this name for itself: a copy beside a policy file, a lock, a try whether it may write."""
    if _COPY.fullmatch(name) or (len(name) > 2 and name.startswith("#") and name.endswith("#")):
        return True
    # Office programs put `~$` before the name of a file that is open; Windows keeps pictures and views of a folder in it.
    if name.startswith("~$") or name.casefold() in ("thumbs.db", "desktop.ini"):
        return True
    # Vim tries whether it may write a folder with the file 4913, and where that is taken 123 further on.
    return name.isascii() and name.isdecimal() and len(name) <= 6 and int(name) >= 4913 and (int(name) - 4913) % 123 == 0


def problem_of_name(name: str, shown_as: str) -> Problem | None:
    """A problem for a file that nobody would read; None for one that has a meaning where it stands."""
    known = (ROLES_FILE, CONDITIONS_FILE, PROPERTIES_FILE, INVARIANTS_FILE, PROVISIONING_FILE)
    if name in known or is_test_file(name) or is_entity_file(name):
        return None
    if name.startswith(FEATURES_FOLDER) and name.endswith((".yaml", ".csv")):
        return None
    near = did_you_mean(name, _names_with_meaning(name))
    if name in ("grants.yaml", "features.yaml", "permissions.yaml", "policies.yaml", "policy.yaml"):
        near = f'grants stand in files of {FEATURES_FOLDER}: "{FEATURES_FOLDER}{name}". '
    start = f"{near}Policies" if near else "policies"
    hint = (
        f"{start} are roles.yaml, conditions.yaml, properties.yaml, invariants.yaml, provisioning.yaml, entities.yaml and "
        f"entities/*.yaml, "
        f".yaml and .csv files in features/, and tests in {TESTS_FOLDER}*{TESTS_ENDING}"
    )
    message = "this file has no meaning here, so what it says would be lost"
    return Problem(Place(shown_as, 1, 1), "unknown-file", message, hint)


def _names_with_meaning(name: str) -> list[str]:
    """The names that a file without meaning may have been meant to have."""
    path = PurePosixPath(name)
    inner = path.with_suffix("")
    if inner.suffix.lower() in (".csv", ".yaml", ".yml"):
        path = inner  # grants.csv.txt
    stem = path.stem
    ending = ".csv" if path.suffix.lower() == ".csv" else ".yaml"
    test = TESTS_FOLDER + re.sub(r"[_-]?tests?$", "", stem) + TESTS_ENDING
    if name.startswith(TESTS_FOLDER) or stem.endswith(TESTS_ENDING.removesuffix(".yaml")):
        return [test]
    known = [ROLES_FILE, CONDITIONS_FILE, PROPERTIES_FILE, INVARIANTS_FILE, ENTITIES_FILE, PROVISIONING_FILE]
    return [*known, f"{FEATURES_FOLDER}{stem}{ending}"]


def unreadable(shown_as: str, message: str, hint: str) -> Problem:
    """The problem of a file that cannot be read."""
    return Problem(Place(shown_as, 1, 1), "unreadable-file", message, hint)


def too_large(shown_as: str) -> Problem:
    """The problem of a file with more than `LARGEST_FILE` bytes."""
    return unreadable(shown_as, f"the file is larger than {LARGEST_FILE} bytes", "split it into several files")


def no_model(shown_as: str) -> Problem:
    """The problem of a model that is not there."""
    hint = "name the Casbin model with --model"
    return Problem(Place(shown_as, 1, 1), "missing-file", "there is no such file", hint)

"""Whether the installed packages can work together."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path


class InstallationError(Exception):
    """The installed packages destroy each other; the message says how to fix it."""


def check_installation() -> None:
    """Raises InstallationError when the distributions `casbin` and `pycasbin` are both installed.

    They hold the same files, and whichever came last has overwritten the other's, while `pip check` is content.
    """
    if _is_installed("casbin") and _is_installed("pycasbin"):
        raise InstallationError(
            'the packages "casbin" (retired) and "pycasbin" are both installed and overwrite each other\'s files; run: '
            "pip uninstall --yes casbin pycasbin casbin-sqlalchemy-adapter, then: "
            "pip install --force-reinstall pycasbin sqlalchemy-adapter"
        )


def warn_where_overwritten() -> None:
    """Warns where files of pycasbin are not those that it was installed with, as the retired `casbin` leaves them.

    Packages for web frameworks still bring that one. Both may be there where pycasbin was installed last.
    """
    if not _is_installed("casbin"):
        return
    spoilt = next(_overwritten_files(), None)
    if spoilt is not None:
        warnings.warn(
            f'the retired package "casbin" has overwritten pycasbin ({spoilt} is not the file that pycasbin brought), so '
            "decisions may be those of an old version; run: pip install --force-reinstall --no-deps pycasbin",
            RuntimeWarning,
            stacklevel=3,
        )


def _overwritten_files() -> Iterator[str]:
    """The modules of Casbin as they would be imported that differ from what pycasbin was installed with."""
    try:
        files = metadata.distribution("pycasbin").files or ()
    except metadata.PackageNotFoundError:
        return
    package = importlib.util.find_spec("casbin")
    if package is None or package.origin is None:
        return
    root = Path(package.origin).parents[1]
    for file in files:
        if file.suffix != ".py" or file.hash is None or file.hash.mode != "sha256" or file.parts[0] != "casbin":
            continue
        try:
            content = (root / file).read_bytes()
        except OSError:
            yield file.as_posix()
            continue
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        if digest != file.hash.value:
            yield file.as_posix()


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True

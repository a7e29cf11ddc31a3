"""Whether the installed packages can work together."""

from __future__ import annotations

from importlib import metadata


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


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True

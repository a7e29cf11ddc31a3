"""Two distributions that overwrite each other's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from klausel.enforcer.installation import InstallationError, check_installation


def install(folder: Path, name: str) -> None:
    info = folder / f"{name}-1.43.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.43.0\n")


def test_this_installation_is_in_order() -> None:
    check_installation()


def test_casbin_beside_pycasbin_is_refused_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "casbin")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InstallationError, match="pip uninstall --yes casbin pycasbin"):
        check_installation()

"""Builds the files of a release: wheel, source archive, bill of materials, their sums; the same bytes from the same sources."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from bill_of_materials import write_bill

SUMS = "SHA256SUMS"


def release_commit(clone: Path, target: Path) -> list[Path]:
    """Builds the last commit of a clone; what is not committed is not in it."""
    made_at = int(_git(clone, "show", "-s", "--format=%ct", "HEAD"))
    with tempfile.TemporaryDirectory() as folder:
        # Zip files, unlike tar files, are unpacked alike by every Python that Klausel runs on.
        with zipfile.ZipFile(io.BytesIO(_git(clone, "archive", "--format=zip", "HEAD"))) as packed:
            packed.extractall(folder)
        return build(Path(folder), target, made_at)


def build(sources: Path, target: Path, made_at: int) -> list[Path]:
    """Builds what stands in a folder, which this changes, as made at a moment (seconds since 1970); the paths of the files.

    Neither the clock, nor the rights and times of the sources, nor the umask, nor the folder that they stand in leave a trace.
    """
    for path in sources.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--sdist", "--outdir", str(target), str(sources)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(made_at)}
    subprocess.run(command, check=True, env=environment, umask=0o022, stdout=subprocess.DEVNULL)
    (wheel,) = target.glob("*.whl")
    (archive,) = target.glob("*.tar.gz")
    _without_traces(archive, made_at)
    bill = write_bill(sources, target, wheel.name.split("-")[1])
    sums = target / SUMS
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted((wheel, archive, bill))]
    sums.write_text("".join(lines), encoding="utf-8")
    return [wheel, archive, bill, sums]


def _without_traces(archive: Path, made_at: int) -> None:
    """Writes a source archive anew: sorted, at one moment, owned by nobody in particular."""
    with tarfile.open(archive) as packed:
        members = [(member, packed.extractfile(member)) for member in packed.getmembers()]
        contents = {member.name: (member, file.read() if file else b"") for member, file in members}
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as packed:
        for name in sorted(contents):
            found, content = contents[name]
            member = tarfile.TarInfo(name)
            member.type, member.size, member.mtime = found.type, len(content), made_at
            member.mode = 0o755 if found.isdir() else 0o644
            packed.addfile(member, io.BytesIO(content))
    archive.write_bytes(gzip.compress(written.getvalue(), mtime=made_at))


def _git(clone: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(clone), *arguments], check=True, capture_output=True).stdout


def main(clone: Path, target: Path) -> None:
    """Builds the last commit into a folder that holds nothing yet, and names the files."""
    if target.exists() and any(target.iterdir()):
        raise SystemExit(f"{target} holds files already; remove them, or name a folder that is empty or not there")
    if _git(clone, "status", "--porcelain", "--untracked-files=no"):
        print("What is not committed yet is not in the files of the release.", file=sys.stderr)
    for file in release_commit(clone, target):
        print(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

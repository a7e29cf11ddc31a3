"""The threads of a worker take their memory from few arenas of glibc: what one of them freed, the others use."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from versions import write_set

from klausel.app import MOST_ARENAS
from klausel.settings import ENVIRONMENT_VARIABLE, Settings

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other systems keep no arenas")

THREADS = 16
MORE = MOST_ARENAS + 4
WORKER = f"""
import ctypes, os, re, sys, threading
from klausel.app import create_app_from_environment

create_app_from_environment()
all_are_there, may_end = threading.Barrier({THREADS} + 1), threading.Event()

def take_memory():
    kept = [bytes(2_000) for _ in range(100)]
    all_are_there.wait(60)
    may_end.wait(60)

for _ in range({THREADS}):
    threading.Thread(target=take_memory, daemon=True).start()
all_are_there.wait(60)
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(b"arenas.xml", b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
os._exit(0)
"""


def arenas(folder: Path, **variables: str) -> int:
    """How many a worker has in which many threads took memory."""
    policies = write_set(folder)
    settings = Settings(policies=str(policies), model=str(folder / "model.conf"), database=f"sqlite:///{folder}/people.db")
    kept = {name: value for name, value in os.environ.items() if name not in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")}
    environment = {**kept, **variables, ENVIRONMENT_VARIABLE: settings.as_text()}
    subprocess.run([sys.executable, "-c", WORKER], cwd=folder, env=environment, check=True, timeout=120)
    return (folder / "arenas.xml").read_text().count("<heap ")


def test_all_threads_of_a_worker_share_few(tmp_path: Path) -> None:
    assert arenas(tmp_path) <= MOST_ARENAS


@pytest.mark.parametrize("variable", [("MALLOC_ARENA_MAX", f"{MORE}"), ("GLIBC_TUNABLES", f"glibc.malloc.arena_max={MORE}")])
def test_who_says_how_many_is_obeyed(tmp_path: Path, variable: tuple[str, str]) -> None:
    assert arenas(tmp_path, **dict([variable])) == MORE

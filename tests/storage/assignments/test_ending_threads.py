"""Threads that a server makes outside of Python come and go; one that has read the database ends like any other."""

import ctypes.util
import subprocess
import sys
from pathlib import Path

import pytest

FOREIGN_THREAD = """
import ctypes, ctypes.util, sys
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database

store = AssignmentStore(open_database(sys.argv[1]))
read = []
libc = ctypes.CDLL(ctypes.util.find_library("c"))
run = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _: read.append(store.held_by("user:ann")))
for _ in range(20):
    thread = ctypes.c_ulong()
    assert libc.pthread_create(ctypes.byref(thread), None, run, None) == 0
    assert libc.pthread_join(thread, None) == 0
store.close()
print(len(read))
"""


@pytest.mark.skipif(ctypes.util.find_library("c") is None, reason="needs the C library, to make threads past Python")
def test_a_thread_made_outside_of_python_ends_without_harm_after_it_has_read(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/klausel.db"
    done = subprocess.run([sys.executable, "-c", FOREIGN_THREAD, url], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "20\n"), done.stderr

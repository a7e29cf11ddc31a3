"""The command `klausel` without its start: a process that has imported all of it forks for each call.

Where a page has hundreds of commands, most of their time would go into starting Python. What starts it anew each time is
tried elsewhere, and everywhere with `KLAUSEL_TEST_INSTALLED_COMMAND=1`, as `scripts/nightly` does.
"""

from __future__ import annotations

import atexit
import gc
import marshal
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

import klausel
from klausel.cli.main import main

CLIENT = """#!{python} -ISE
import _socket as socket, array, marshal, os, sys
asked = marshal.dumps((sys.argv[1:], os.getcwd(), dict(os.environ)))
here = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
here.connect({address!r})
here.sendmsg([len(asked).to_bytes(8)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
here.sendall(asked)
told = here.recv(1)
os._exit(told[0] if told else 70)
"""
NOT_OF_COMMANDS = ("klausel.django", "klausel.fastapi", "klausel.flask", "klausel.cli.language_server")


@contextmanager
def forked_command(folder: Path) -> Iterator[Path]:
    """A folder for the front of PATH, with a command `klausel` that is quick."""
    address = folder / "socket"
    command = folder / "bin" / "klausel"
    command.parent.mkdir()
    if os.environ.get("KLAUSEL_TEST_INSTALLED_COMMAND"):
        yield Path(sys.executable).parent
        return
    command.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    command.chmod(0o755)
    server = [sys.executable, __file__, str(address)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KLAUSEL_")}
    environment |= {"LC_ALL": "C.UTF-8", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(server, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.read()
            yield command.parent
        finally:
            process.kill()


def serve(address: str) -> None:
    """Forks for each call, until it is killed."""
    for module in pkgutil.walk_packages(klausel.__path__, "klausel."):
        if not module.name.startswith(NOT_OF_COMMANDS):
            with suppress(ImportError):
                import_module(module.name)
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # whoever started this knows now that it listens
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        caller, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(caller)
        caller.close()


def _answer(caller: socket.socket) -> None:
    """Does what a new process of the command would do, and ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, descriptors, _, _ = socket.recv_fds(caller, 8, 3)
    with caller.makefile("rb") as file:
        arguments, folder, environment = marshal.loads(file.read(int.from_bytes(length)))
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = ["klausel", *arguments]
    code: object = 1
    try:
        code = main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    caller.sendall(bytes([code if isinstance(code, int) else int(code is not None)]))
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])

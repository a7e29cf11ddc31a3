"""What commands share that verify a log by signed checkpoints, or sign its last record."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from klausel.cli.options import fail
from klausel.cli.output import say
from klausel.core.terms.moment import moment_text
from klausel.storage.change_log.checkpoints import (
    Checkpoint,
    CheckpointError,
    append_checkpoint,
    read_checkpoints,
    read_private_key,
    read_public_key,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

OF_OTHERS = 0o077
"""The parts of a mode that let others than the owner read or change a file."""
Command = TypeVar("Command", bound=Callable[..., object])

_EXISTING = click.Path(path_type=Path, dir_okay=False, exists=True)
key_option = click.option(
    "--key", "key_file", type=_EXISTING, required=True, help="Private key, as `klausel audit key` makes it."
)


def checkpoint_options(command: Command) -> Command:
    """Adds the options --checkpoints and --public-key, to be read by `checkpoints_given`."""
    key = click.option("--public-key", type=_EXISTING, help="Key that the checkpoints were signed with; its public half.")
    file = click.option("--checkpoints", type=_EXISTING, help="File of signed checkpoints; needs --public-key.")
    return file(key(command))


def checkpoints_given(checkpoints: Path | None, public_key: Path | None) -> tuple[list[Checkpoint], list[str]]:
    """The checkpoints of the file, and a sentence for each line of it that is not as it was signed; none without a file."""
    if (checkpoints is None) != (public_key is None):
        raise click.UsageError(
            "--checkpoints and --public-key go together: without the key anybody could have made the file"
        )
    if checkpoints is None or public_key is None:
        return [], []
    with explains_checkpoint_errors():
        return read_checkpoints(checkpoints, read_public_key(public_key))


def signing_key(file: Path) -> Ed25519PrivateKey:
    """The key that signs; warns where others than its owner may use the file. Raises CheckpointError."""
    private = read_private_key(file)
    mode = file.stat().st_mode & 0o777
    if os.name == "posix" and mode & OF_OTHERS:
        say(
            f"warning: {file} has the mode {mode:o}, so others on this machine may sign with it; give it to its owner alone "
            f"(chmod 600 {file}), and make a new key where somebody may have read it",
            err=True,
        )
    return private


def key_and_earlier(file: Path, key_file: Path) -> tuple[Ed25519PrivateKey, list[Checkpoint]]:
    """The key that signs, and the checkpoints that a file has already; exits with 1 where one of them is broken."""
    with explains_checkpoint_errors():
        private = signing_key(key_file)
        earlier, broken = read_checkpoints(file, private.public_key()) if file.exists() else ([], [])
    if broken:
        fail(f"{broken[0]}; nothing was signed")
    return private, earlier


def sign(file: Path, number: int, hash_: str, private: Ed25519PrivateKey) -> None:
    """Appends a checkpoint of a record, as of now, to a file."""
    with explains_checkpoint_errors():
        append_checkpoint(file, Checkpoint(number, hash_, moment_text(time.time_ns() // 1000)), private)
    say(f"record {number} is signed in {file}")


@contextmanager
def explains_checkpoint_errors() -> Iterator[None]:
    """Where keys or checkpoints cannot be used, says so and exits with 1."""
    try:
        yield
    except CheckpointError as error:
        fail(str(error))

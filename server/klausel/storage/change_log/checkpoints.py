"""Signed checkpoints of the change log: keys, and a file of lines that each name one record and its hash (Ed25519)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

# Everything of cryptography is imported where it is used, so that no other command waits for it.

_FORMAT = "klausel checkpoint 1"
_NAMES = ("format", "number", "hash", "time", "key", "signature")


class CheckpointError(Exception):
    """A key or a file of checkpoints that cannot be used; the message says why, and the cure."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """That the record of a number had this hash at a time, said by the holder of a key."""

    number: int
    hash: str
    time: str


def make_keys(file: Path) -> Path:
    """Writes a new private key to `file`, which only its owner may read, and the public one beside it; returns that.

    Raises CheckpointError rather than overwrite either.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public_file = file.with_name(file.name + ".pub")
    for place in (file, public_file):
        if place.exists():
            raise CheckpointError(f"{place} exists already; a key that was used must be kept, so name another file")
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _create(file, private, 0o600)
    _create(public_file, public, 0o644)
    return public_file


def read_private_key(file: Path) -> Ed25519PrivateKey:
    """The private key in a file; raises CheckpointError."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = serialization.load_pem_private_key(_read(file), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise CheckpointError(f"{file} is not a private key that signs checkpoints; make one with `klausel audit key`")
    return key


def read_public_key(file: Path) -> Ed25519PublicKey:
    """The public key in a file; raises CheckpointError."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = serialization.load_pem_public_key(_read(file))
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise CheckpointError(
            f"{file} is not the public key of checkpoints; `klausel audit key` writes it beside the private"
        )
    return key


def append_checkpoint(file: Path, checkpoint: Checkpoint, key: Ed25519PrivateKey) -> None:
    """Adds a signed line to a file, which is made when it is not there; raises CheckpointError."""
    line = _line(checkpoint, key_id(key.public_key()), key.sign(_signed(checkpoint, key_id(key.public_key()))))
    try:
        with file.open("ab") as lines:
            lines.write(line)
            lines.flush()
            os.fsync(lines.fileno())
    except OSError as error:
        raise CheckpointError(f"{file} cannot be written: {error.strerror}") from None


def read_checkpoints(file: Path, key: Ed25519PublicKey) -> tuple[list[Checkpoint], list[str]]:
    """The checkpoints of a file whose signatures are good, and a sentence for each line that is not as it was written.

    Raises CheckpointError for a file that cannot be read.
    """
    good, faults = [], []
    lines = _read(file).split(b"\n")
    if lines.pop() != b"":
        faults.append(f"{file}: the end of the last line is missing")
    for number, line in enumerate(lines, start=1):
        checkpoint = checkpoint_in(line + b"\n", key)
        if checkpoint is None:
            faults.append(f"{file}:{number}: this line is not one that the holder of the key signed")
        else:
            good.append(checkpoint)
    if not lines:
        faults.append(f"{file}: there is no checkpoint in it")
    return good, faults


def checkpoint_in(line: bytes, key: Ed25519PublicKey) -> Checkpoint | None:
    """The checkpoint in a line; None unless every byte is as `append_checkpoint` writes it and the signature is good."""
    from cryptography.exceptions import InvalidSignature

    try:
        found = orjson.loads(line)
        checkpoint = Checkpoint(found["number"], found["hash"], found["time"])
        signature = bytes.fromhex(found["signature"])
        if line == _line(checkpoint, key_id(key), signature):
            key.verify(signature, _signed(checkpoint, key_id(key)))
            return checkpoint
    except (ValueError, TypeError, KeyError, InvalidSignature):
        pass
    return None


def key_id(key: Ed25519PublicKey) -> str:
    """A short name of a key: the start of the SHA-256 of its 32 bytes."""
    return sha256(key.public_bytes_raw()).hexdigest()[:16]


def _signed(checkpoint: Checkpoint, key: str) -> bytes:
    return orjson.dumps([_FORMAT, checkpoint.number, checkpoint.hash, checkpoint.time, key])


def _line(checkpoint: Checkpoint, key: str, signature: bytes) -> bytes:
    values = (_FORMAT, checkpoint.number, checkpoint.hash, checkpoint.time, key, signature.hex())
    return orjson.dumps(dict(zip(_NAMES, values, strict=True)), option=orjson.OPT_APPEND_NEWLINE)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from None


def _create(file: Path, text: bytes, mode: int) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise CheckpointError(f"{file} cannot be made: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as out:
        os.fchmod(out.fileno(), mode)
        out.write(text)

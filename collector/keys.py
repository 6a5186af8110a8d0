"""Secrets on disk: NATS seeds (nkeys) and the signing key, made once, mode 0600, never printed."""

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

import nacl.signing
import nkeys

from collector.errors import StateError
from wire.errors import SignatureError
from wire.signing import Signer

_LARGEST = 4096


@dataclass(frozen=True, slots=True)
class NatsKey:
    """One user of the NATS server: `public` names it, `seed` proves it."""

    public: str
    seed: str


def new_nats_key() -> NatsKey:
    """Return a new random user key."""
    raw = bytes(nacl.signing.SigningKey.generate())
    return nats_key(nkeys.encode_seed(raw, nkeys.PREFIX_BYTE_USER).decode(), place="new key")


def nats_key(seed: str, *, place: str) -> NatsKey:
    """Return the key of a seed ("SU…"); raise StateError naming `place`."""
    try:
        pair = nkeys.from_seed(bytearray(seed.strip().encode()))
        return NatsKey(public=pair.public_key.decode(), seed=seed.strip())
    except (nkeys.NkeysError, ValueError) as error:
        raise StateError(
            f"{place}: not a NATS user seed; make one with holdfast-collector init"
        ) from error


def read_nats_key(path: Path) -> NatsKey:
    """Return the key in a file; raise StateError naming it."""
    return nats_key(read_secret(path), place=str(path))


def read_signer(path: Path) -> Signer:
    """Return the signing key in a file; raise StateError naming it."""
    try:
        return Signer.from_seed(read_secret(path), place=str(path))
    except SignatureError as error:
        raise StateError(str(error)) from error


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write a whole file or nothing, durably, never readable by more than `mode` says."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise StateError(f"{path}: cannot be written: {error}") from error
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_secret(path: Path, *, remedy: str = "make it with holdfast-collector init") -> str:
    """Return a file's text; raise StateError if it is missing, or if others may read it."""
    try:
        # Without O_NONBLOCK a FIFO would hold up the start for good.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise OSError("it is not a regular file")
            if mode & 0o077:
                raise StateError(f"{path}: others may read this secret; run chmod 600 {path}")
            return file.read(_LARGEST).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise StateError(f"{path}: cannot be read ({why}); {remedy}") from error

"""What this host says about redaction, and the key that makes the marks of secrets its own.

Whoever has the key can try guesses of a password against its mark; so it never leaves the host.
"""

import logging
import os
import secrets
from pathlib import Path

import msgspec

from agent.errors import ConfigError
from wire.redaction import settings
from wire.redaction.redactor import Redactor
from wire.redaction.settings import Settings

log = logging.getLogger("holdfast.agent.redaction")

KEY_FILE = "redaction.key"
_KEY_BYTES = 32


class RedactionTable(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The table [redaction] of agent.toml."""

    off: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    patterns: dict[str, str] = msgspec.field(default_factory=dict)


def read(place: Path, table: RedactionTable) -> Settings:
    """Return what the table says; raise ConfigError that names the file and the key."""
    try:
        return settings.read(table.off, table.names, table.patterns, table.allow)
    except ValueError as error:
        raise ConfigError(f"{place}: redaction: {error} (docs/privacy.md)") from error


def redactor(said: Settings, state: Path) -> Redactor:
    """Return the redactor of this host, with the key in its state directory, made if need be.

    Without a disk that keeps it, a key serves until the agent ends: then the marks are others.
    """
    return Redactor(said, _key(state / KEY_FILE))


def _key(path: Path) -> bytes:
    try:
        if len(key := path.read_bytes()) == _KEY_BYTES:
            return key
        log.warning("%s: is no key any more; a new one is made, and marks are others", path)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("%s: cannot be read: %s; marks are others until the next start", path, error)
        return secrets.token_bytes(_KEY_BYTES)
    key = secrets.token_bytes(_KEY_BYTES)
    fresh = path.with_name(f".{path.name}")
    try:
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        log.warning("%s: cannot be kept: %s; marks are others after a restart", path, error)
    return key

"""host.toml: who this host is to the centre, and whose verdicts it obeys. It holds a secret."""

import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from agent.config import read_toml
from agent.errors import ConfigError
from wire.errors import IdError
from wire.ids import HostId, check_id

_KEY = re.compile(r"[0-9a-f]{64}")
_SEED = re.compile(r"SU[A-Z2-7]{56}")


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    host: str
    name: str
    nats_url: str
    nats_seed: str
    centre_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostIdentity:
    """Who this host is. `centre_keys` are the public keys (hex) whose verdicts it obeys."""

    host: HostId
    name: str
    nats_url: str
    nats_seed: str = field(repr=False)
    centre_keys: frozenset[str]


def load(path: Path) -> HostIdentity:
    """Return the identity in `path`; raise ConfigError unless it is well formed and private."""
    _check_private(path)
    return _parse(path)


def join(bundle: Path, identity: Path, *, replace: bool = False) -> HostIdentity:
    """Put the bundle of `holdfast-collector enroll` in place, readable by its owner alone.

    Raises ConfigError when the bundle is not one, or another identity is in place already.
    """
    joined = _parse(bundle)
    if os.path.exists(identity) and not replace and load(identity) != joined:
        raise ConfigError(
            f"{identity}: this host has another identity already; its open holds would be lost to "
            "the centre. Join with --replace if that is meant"
        )
    temporary = identity.with_name(f".{identity.name}.{secrets.token_hex(4)}")
    try:
        identity.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(bundle.read_bytes())
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, identity)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(
            f"{identity}: cannot be written: {error.strerror}; nothing was changed. Run it as "
            "root, or give another --identity"
        ) from error
    return joined


def _check_private(path: Path) -> None:
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: this host has not joined a centre; run `holdfast-collector enroll` there "
            "and `holdfast-agent join BUNDLE` here"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    mode = stat.S_IMODE(found.st_mode)
    if mode != 0o600:
        raise ConfigError(f"{path}: has mode {mode:04o} and holds a secret; run: chmod 0600 {path}")
    if found.st_uid not in {0, os.geteuid()}:
        raise ConfigError(
            f"{path}: belongs to uid {found.st_uid}, who could change whom this host obeys; run: "
            f"chown root {path}"
        )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        named = parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    return bool(named) and parts.scheme in ("nats", "tls") and url.isprintable() and " " not in url


def _parse(path: Path) -> HostIdentity:
    file = read_toml(path, _File)
    try:
        host = HostId(check_id(file.host, place=f"{path}: host"))
    except IdError as error:
        raise ConfigError(f"{error}; take the file as `holdfast-collector enroll` wrote it") from (
            error
        )
    if not file.name or not file.name.isprintable():
        raise ConfigError(f"{path}: name: is empty or has control characters; give the host's name")
    if not _is_address(file.nats_url):
        raise ConfigError(
            f"{path}: nats_url: {file.nats_url[:80]!r} must begin with nats:// or tls:// and name "
            "a host, as in nats://192.0.2.1:4222"
        )
    if not _SEED.fullmatch(file.nats_seed):
        raise ConfigError(f"{path}: nats_seed: is not an NKEY seed of a user (SU...)")
    wrong = [key for key in file.centre_keys if not _KEY.fullmatch(key)]
    if wrong or not file.centre_keys:
        raise ConfigError(
            f"{path}: centre_keys: must list public keys of 64 hexadecimal digits; this host "
            "obeys nobody else"
        )
    return HostIdentity(
        host=host,
        name=file.name,
        nats_url=file.nats_url,
        nats_seed=file.nats_seed,
        centre_keys=frozenset(file.centre_keys),
    )

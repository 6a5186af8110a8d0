"""The [[export]] sections of collector.toml: where the trail goes continuously, and as what."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from collector.errors import ConfigError

# Tables, as docs/export.md names them.
TABLES = (
    *("events", "holds", "hold_states", "votes", "comments", "decisions", "grants"),
    *("grant_revocations", "quarantines", "quarantine_lifts", "order_effects", "hosts"),
    *("chain_breaks", "rejected", "sign_ins"),
)
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,31}")
_ADDRESS = re.compile(r"(\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[\w.-]+)):(?P<port>[0-9]{1,5})")


class ExportKind(StrEnum):
    """How records leave."""

    SYSLOG = "syslog"
    WEBHOOK = "webhook"


class Shape(StrEnum):
    """What a record is in."""

    OCSF = "ocsf"
    ECS = "ecs"
    JSONL = "jsonl"


class Transport(StrEnum):
    """How syslog travels."""

    TLS = "tls"
    TCP = "tcp"
    UDP = "udp"


class Beginning(StrEnum):
    """Where an export begins that has never run."""

    NOW = "now"
    BEGINNING = "beginning"


class Facility(StrEnum):
    """A facility of syslog."""

    DAEMON = "daemon"
    AUTH = "auth"
    AUTHPRIV = "authpriv"
    AUDIT = "audit"
    LOCAL0 = "local0"
    LOCAL1 = "local1"
    LOCAL2 = "local2"
    LOCAL3 = "local3"
    LOCAL4 = "local4"
    LOCAL5 = "local5"
    LOCAL6 = "local6"
    LOCAL7 = "local7"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One receiver. `name` is that of its place for good; `to` a webhook, or host:port."""

    name: str
    kind: ExportKind
    to: str
    format: Shape = Shape.JSONL
    what: tuple[str, ...] = TABLES
    start: Beginning = Beginning.NOW
    transport: Transport = Transport.TLS
    facility: Facility = Facility.AUTHPRIV
    tls_ca: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    longest_bytes: int = 8192
    batch: int = 500
    per_second: int = 2000
    timeout_s: float = 30.0


def check(exports: Sequence[Export], *, webhooks: bool, place: str) -> None:
    """Raise ConfigError naming `place` for a section that cannot be meant.

    `webhooks` says whether there is a directory of webhooks.
    """
    names = [one.name for one in exports]
    for one in exports:
        here = f"{place}: export {one.name[:40]!r}"
        if not _NAME.fullmatch(one.name):
            raise ConfigError(
                f"{here}: a name has at most 32 letters, digits, dots, dashes and underscores"
            )
        if names.count(one.name) > 1:
            raise ConfigError(f"{here}: two exports have this name; their places would be mixed up")
        unknown = sorted(set(one.what) - set(TABLES))
        if unknown or not one.what:
            raise ConfigError(
                f"{here}: what: {', '.join(unknown) or 'nothing'} cannot be exported; "
                f"known: {', '.join(TABLES)}"
            )
        if one.kind is ExportKind.WEBHOOK and not webhooks:
            raise ConfigError(
                f"{here}: webhook.directory is not set; it has NAME.url of {one.to!r}"
            )
        if one.kind is ExportKind.SYSLOG:
            address_of(one, place=here)
            _check_tls(one, here)
        for key, most in _MOST.items():
            if not _LEAST.get(key, 1) <= getattr(one, key) <= most:
                raise ConfigError(f"{here}: {key} must be {_LEAST.get(key, 1)} to {most}")


_MOST = {"longest_bytes": 1 << 24, "batch": 10_000, "per_second": 1_000_000, "timeout_s": 3600}
# What RFC 5424 wants every receiver to take.
_LEAST = {"longest_bytes": 2048}


def address_of(one: Export, *, place: str) -> tuple[str, int]:
    """Return host and port of a receiver of syslog; raise ConfigError naming `place`."""
    found = _ADDRESS.fullmatch(one.to)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise ConfigError(f'{place}: to: {one.to[:80]!r} is not "host:port"')
    return found["v6"] or found["host"], int(found["port"])


def _check_tls(one: Export, place: str) -> None:
    given = [one.tls_ca, one.tls_certificate, one.tls_key]
    if one.transport is not Transport.TLS and any(given):
        raise ConfigError(f"{place}: tls_* is for transport = 'tls', which is the default")
    if bool(one.tls_certificate) != bool(one.tls_key):
        raise ConfigError(f"{place}: tls_certificate and tls_key go together; give both")
    if one.transport is Transport.UDP and one.longest_bytes > _LARGEST_DATAGRAM:
        raise ConfigError(f"{place}: longest_bytes: a datagram has at most {_LARGEST_DATAGRAM}")


_LARGEST_DATAGRAM = 65_507

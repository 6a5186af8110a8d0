"""The collector's configuration file: every key, its default and its check. See docs/collector.md.

Paths may be relative to the file; unknown keys are errors, so a misspelt one is never ignored.
"""

import ipaddress
import tomllib
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import msgspec

from collector.errors import ConfigError

DEFAULT_FILE = Path("/var/lib/holdfast-collector/collector.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Nats:
    """Where the NATS server is, and who the collector is to it."""

    url: str
    seed_file: str
    pid_file: str = ""
    hosts_file: str = ""
    tls_ca: str = ""
    publish_timeout_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """The key that signs votes, decisions and verdicts, and the other keys trusted for them."""

    key_file: str
    trusted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """The DuckDB file and what it may use."""

    file: str
    memory_limit: str = "512MB"
    threads: int = 2
    spill_limit: str = "2GB"
    query_seconds: float = 10.0
    query_workers: int = 2
    process_memory: str = "4GB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Where the API listens; anything but loopback needs a certificate."""

    listen: str = "127.0.0.1:8420"
    tls_certificate: str = ""
    tls_key: str = ""
    stream_queue: int = 256
    stream_clients: int = 256
    stream_clients_per_token: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """The SQLite file of tokens and enrolled hosts."""

    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """How much is logged."""

    level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file. Every path is absolute after `load`."""

    nats: Nats
    signing: Signing
    trail: Trail
    identities: Identities
    api: Api = field(default_factory=Api)
    log: Log = field(default_factory=Log)


_PATHS = {
    ("nats", "seed_file"),
    ("nats", "pid_file"),
    ("nats", "hosts_file"),
    ("nats", "tls_ca"),
    ("signing", "key_file"),
    ("trail", "file"),
    ("identities", "file"),
    ("api", "tls_certificate"),
    ("api", "tls_key"),
}
_LEVELS = ("debug", "info", "warning", "error")
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def load(path: Path) -> Config:
    """Return the checked configuration; raise ConfigError naming the file, key and remedy."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({error}); make one with `holdfast-collector init`"
        ) from error
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    _forbid_unknown(path, raw, Config, "")
    try:
        config = msgspec.convert(_absolute(raw, path.resolve().parent), Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error} ($ is the top of the file)") from error
    _check(path, config)
    return config


def listen_address(listen: str, *, place: str) -> tuple[str, int]:
    """Split "host:port" or "[v6]:port"; raise ConfigError naming `place`."""
    host, separator, port = listen.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f'{place}: {listen!r} is not "host:port", for example "127.0.0.1:8420"')
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Return whether `host` is an address, or the name localhost, that stays on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def size(text: str, *, place: str) -> int:
    """Return bytes for "512MB"; raise ConfigError naming `place`."""
    number, unit = text[:-2].strip(), text[-2:].upper()
    if unit not in _UNITS or not number.isdigit() or int(number) == 0:
        raise ConfigError(f'{place}: {text!r} is not a size, for example "512MB"')
    return int(number) * _UNITS[unit]


def keys() -> tuple[str, ...]:
    """Return every key as "section.key", in the order of the file."""
    hints = get_type_hints(Config)
    return tuple(
        f"{section.name}.{key.name}"
        for section in fields(Config)
        for key in fields(hints[section.name])
    )


def _forbid_unknown(path: Path, raw: object, kind: type, prefix: str) -> None:
    if not isinstance(raw, dict):
        return  # msgspec says what was expected instead
    hints = get_type_hints(kind)
    for name, value in raw.items():
        if name not in hints:
            known = ", ".join(sorted(hints))
            raise ConfigError(f"{path}: {prefix}{name} is not a key; known here: {known}")
        if is_dataclass(hints[name]):
            _forbid_unknown(path, value, hints[name], f"{prefix}{name}.")


def _absolute(raw: dict[str, object], base: Path) -> dict[str, object]:
    """Return `raw` with every path made absolute; an empty one stays empty."""
    result: dict[str, object] = {}
    for section, values in raw.items():
        if not isinstance(values, dict):
            result[section] = values
            continue
        result[section] = {
            key: str(base / value)
            if (section, key) in _PATHS and isinstance(value, str) and value
            else value
            for key, value in values.items()
        }
    return result


def _check(path: Path, config: Config) -> None:
    host, _ = listen_address(config.api.listen, place=f"{path}: api.listen")
    tls = (bool(config.api.tls_certificate), bool(config.api.tls_key))
    if tls[0] != tls[1]:
        raise ConfigError(f"{path}: api.tls_certificate and api.tls_key go together; give both")
    if not is_loopback(host) and not all(tls):
        raise ConfigError(
            f"{path}: api.listen is {config.api.listen!r}, which others can reach, and there is no "
            "certificate; set api.tls_certificate and api.tls_key, or listen on 127.0.0.1"
        )
    if config.log.level not in _LEVELS:
        raise ConfigError(f"{path}: log.level must be one of {', '.join(_LEVELS)}")
    for key in ("memory_limit", "spill_limit", "process_memory"):
        size(getattr(config.trail, key), place=f"{path}: trail.{key}")
    positive = {
        "nats.publish_timeout_s": config.nats.publish_timeout_s,
        "trail.threads": config.trail.threads,
        "trail.query_seconds": config.trail.query_seconds,
        "trail.query_workers": config.trail.query_workers,
        "api.stream_queue": config.api.stream_queue,
        "api.stream_clients": config.api.stream_clients,
        "api.stream_clients_per_token": config.api.stream_clients_per_token,
    }
    for name, value in positive.items():
        if not value > 0:
            raise ConfigError(f"{path}: {name} must be more than 0, not {value}")
    for key in config.signing.trusted:
        if len(key) != 64 or any(digit not in "0123456789abcdef" for digit in key):
            raise ConfigError(f"{path}: signing.trusted: {key[:70]!r} is not 64 hexadecimal digits")

"""The collector's configuration file: every key, its default and its check. See docs/collector.md.

Paths may be relative to the file; unknown keys are errors, so a misspelt one is never ignored.
"""

import ipaddress
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec

from collector.asks.settings import AskSettings
from collector.channels import settings as channel_settings
from collector.channels.settings import Channels, Teams, Webhook
from collector.channels.slack import settings as slack_settings
from collector.channels.slack.settings import Slack
from collector.errors import ConfigError
from collector.export import settings as export_settings
from collector.export.settings import Export
from collector.oidc import settings as oidc_settings
from collector.oidc.settings import Oidc
from collector.policy.model import BREAK_GLASS_S
from collector.trail.retention.settings import Retention, policy_of
from collector.web import settings as web_settings
from collector.web.settings import Web
from wire.messages import Severity

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
    """The DuckDB file, what it may use, and where its checkpoints go."""

    file: str
    memory_limit: str = "512MB"
    threads: int = 2
    spill_limit: str = "2GB"
    query_seconds: float = 10.0
    query_workers: int = 2
    process_memory: str = "4GB"
    grace_seconds: float = 300.0
    checkpoint_s: float = 60.0
    checkpoint_file: str = ""
    anchor_file: str = ""
    anchor_command: tuple[str, ...] = ()
    anchor_timeout_s: float = 30.0
    retention: Retention = field(default_factory=Retention)

    @property
    def checkpoints(self) -> Path:
        """The file of checkpoints."""
        return Path(self.checkpoint_file or Path(self.file).with_name("checkpoints.jsonl"))


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
class Approvals:
    """Who must approve what. Without a file any reviewer's answer decides."""

    policy_file: str = ""
    break_glass_s: int = BREAK_GLASS_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """What "approve for a time" may amount to at most."""

    longest_minutes: int = 60
    most_uses: int = 20


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
    approvals: Approvals = field(default_factory=Approvals)
    asks: AskSettings = field(default_factory=AskSettings)
    web: Web = field(default_factory=Web)
    channels: Channels = field(default_factory=Channels)
    webhook: Webhook = field(default_factory=Webhook)
    teams: Teams = field(default_factory=Teams)
    slack: Slack = field(default_factory=Slack)
    oidc: Oidc = field(default_factory=Oidc)
    grants: Grants = field(default_factory=Grants)
    log: Log = field(default_factory=Log)
    export: tuple[Export, ...] = ()


_PATHS = {
    ("nats", "seed_file"),
    ("nats", "pid_file"),
    ("nats", "hosts_file"),
    ("nats", "tls_ca"),
    ("signing", "key_file"),
    ("trail", "file"),
    ("trail", "checkpoint_file"),
    ("trail", "anchor_file"),
    ("identities", "file"),
    ("approvals", "policy_file"),
    ("api", "tls_certificate"),
    ("api", "tls_key"),
    ("channels", "file"),
    ("webhook", "directory"),
    ("webhook", "tls_ca"),
    ("teams", "directory"),
    ("slack", "bot_token_file"),
    ("slack", "app_token_file"),
    ("slack", "signing_secret_file"),
    ("oidc", "client_secret_file"),
    ("oidc", "tls_ca"),
}
_EXPORT_PATHS = ("tls_ca", "tls_certificate", "tls_key")
_LEVELS = ("debug", "info", "warning", "error")
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"([1-9][0-9]{0,5})\s*(KB|MB|GB|TB)", re.ASCII)
_LISTEN = re.compile(
    r"(\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[\w.-]+)):(?P<port>[0-9]{1,5})", re.ASCII
)
_LARGEST = 1 << 20
_NEEDED = ("nats.seed_file", "signing.key_file", "trail.file", "identities.file")
# What cannot be meant, and would only be noticed when the collector works.
_MOST: dict[str, int] = {
    "nats.publish_timeout_s": 3600,
    "trail.threads": 1024,
    "trail.query_seconds": 86_400,
    "trail.query_workers": 256,
    "trail.grace_seconds": 86_400,
    "trail.checkpoint_s": 86_400,
    "trail.anchor_timeout_s": 3600,
    "api.stream_queue": 1 << 20,
    "api.stream_clients": 1 << 20,
    "api.stream_clients_per_token": 1 << 20,
    "channels.timeout_s": 300,
    # Who breaks the glass means now.
    "approvals.break_glass_s": 3600,
    "asks.timeout_s": 31 * 86_400,
    "asks.longest_timeout_s": 31 * 86_400,
    "asks.open_per_asker": 1 << 20,
    "asks.waiting": 1 << 20,
    # A host takes no grant for more than a day, and its clock may differ.
    "grants.longest_minutes": 720,
    "grants.most_uses": 10_000,
}


def load(path: Path) -> Config:
    """Return the checked configuration; raise ConfigError naming the file, key and remedy."""
    try:
        data = read_regular(path, largest=_LARGEST)
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(
            f"{path}: cannot be read ({why}); make one with `holdfast-collector init`"
        ) from error
    try:
        raw = tomllib.loads(data.decode("utf-8"))
    except RecursionError as error:
        raise ConfigError(f"{path}: not TOML: nested too deep; mend it") from error
    except ValueError as error:  # also of numbers with thousands of digits, and of other encodings
        why = str(error).partition(";")[0]  # behind it Python tells how to lift its own limit
        raise ConfigError(f"{path}: not TOML: {why}; mend it, or save it as UTF-8") from error
    _forbid_unknown(path, raw, Config, "")
    try:
        config = msgspec.convert(_absolute(raw, path.resolve().parent), Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error} ($ is the top of the file)") from error
    _check(path, config)
    return config


def read_regular(path: Path, *, largest: int) -> bytes:
    """Return a file's bytes; raise OSError if it is not a regular file or has more bytes."""
    # Without O_NONBLOCK a FIFO would hold up the start for good.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is not a regular file")
        data = file.read(largest + 1)
    if len(data) > largest:
        raise OSError(f"it has more than {largest} bytes")
    return data


def listen_address(listen: str, *, place: str) -> tuple[str, int]:
    """Split "host:port" or "[v6]:port"; raise ConfigError naming `place`."""
    found = _LISTEN.fullmatch(listen)
    if found is None or int(found["port"]) > 65535:
        raise ConfigError(
            f'{place}: {listen[:80]!r} is not "host:port", for example "127.0.0.1:8420"'
        )
    return found["v6"] or found["host"], int(found["port"])


def is_loopback(host: str) -> bool:
    """Return whether `host` is an address, or the name localhost, that stays on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def size(text: str, *, place: str) -> int:
    """Return bytes for "512MB"; raise ConfigError naming `place`."""
    found = _SIZE.fullmatch(text.upper())
    if found is None:
        raise ConfigError(f'{place}: {text[:80]!r} is not a size, for example "512MB"')
    return int(found[1]) * _UNITS[found[2]]


def keys() -> tuple[str, ...]:
    """Return every key as "section.key", in the order of the file."""
    hints = get_type_hints(Config)
    return tuple(
        f"{section.name}.{key}"
        for section in fields(Config)
        for key in _keys_of(_of_many(hints[section.name]) or hints[section.name])
    )


def _keys_of(section: Any) -> Iterator[str]:
    """Yield the keys of a section, those of a section in it as "name.key"."""
    hints = get_type_hints(section)
    for one in fields(section):
        if is_dataclass(hints[one.name]):
            yield from (f"{one.name}.{key}" for key in _keys_of(hints[one.name]))
        else:
            yield one.name


def _of_many(hint: Any) -> Any:
    """Return the section that there may be several of, None for one that there is once."""
    inside = get_args(hint)
    return inside[0] if inside and is_dataclass(inside[0]) else None


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
        elif (several := _of_many(hints[name])) is not None and isinstance(value, list):
            for one in value:
                _forbid_unknown(path, one, several, f"{prefix}{name}.")


def _absolute(raw: dict[str, object], base: Path) -> dict[str, object]:
    """Return `raw` with every path made absolute; an empty one stays empty."""
    result: dict[str, object] = {}
    for section, values in raw.items():
        if section == "export" and isinstance(values, list):
            result[section] = [_export_paths(one, base) for one in values]
            continue
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


def _export_paths(one: object, base: Path) -> object:
    if not isinstance(one, dict):
        return one
    given = {key: one[key] for key in _EXPORT_PATHS if isinstance(one.get(key), str) and one[key]}
    return one | {key: str(base / value) for key, value in given.items()}


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
    web_settings.check(config.web, place=f"{path}: web")
    slack_settings.check(path, config.slack)
    channel_settings.check(config.channels, place=f"{path}: channels")
    export_settings.check(config.export, webhooks=bool(config.webhook.directory), place=str(path))
    policy_of(config.trail.retention, place=f"{path}: trail.retention")
    oidc_settings.check(config.oidc, public_url=config.web.public_url, place=f"{path}: oidc")
    if config.log.level not in _LEVELS:
        raise ConfigError(f"{path}: log.level must be one of {', '.join(_LEVELS)}")
    for key in ("memory_limit", "spill_limit", "process_memory"):
        size(getattr(config.trail, key), place=f"{path}: trail.{key}")
    process, database = (
        size(getattr(config.trail, key), place=f"{path}: trail.{key}")
        for key in ("process_memory", "memory_limit")
    )
    if process <= database:
        raise ConfigError(
            f"{path}: trail.process_memory is {config.trail.process_memory}, which leaves nothing "
            f"beside trail.memory_limit of {config.trail.memory_limit}; give it more"
        )
    for name, most in _MOST.items():
        value = _value(config, name)
        if not 0 < value <= most:
            raise ConfigError(f"{path}: {name} must be more than 0 and at most {most}, not {value}")
    asks = config.asks
    if asks.timeout_s > asks.longest_timeout_s:
        raise ConfigError(
            f"{path}: asks.timeout_s is {asks.timeout_s}, more than asks.longest_timeout_s of "
            f"{asks.longest_timeout_s}; lower the first or raise the second"
        )
    order = list(Severity)
    if order.index(asks.least_severity) > order.index(asks.most_severity):
        raise ConfigError(f"{path}: asks.least_severity is above asks.most_severity; swap them")
    _check_places(path, config)
    for key in config.signing.trusted:
        if len(key) != 64 or any(digit not in "0123456789abcdef" for digit in key):
            raise ConfigError(f"{path}: signing.trusted: {key[:70]!r} is not 64 hexadecimal digits")


def _check_places(path: Path, config: Config) -> None:
    for name in (".".join(pair) for pair in sorted(_PATHS)):
        text = _value(config, name)
        longest = max(len(part.encode()) for part in text.split("/"))
        if "\0" in text or longest > 255 or len(text.encode()) > 4000:
            raise ConfigError(f"{path}: {name}: {text[:80]!r} is not a path; write one")
        # DuckDB and SQLite take no name for a database that is gone at the end.
        if not text and name in _NEEDED:
            raise ConfigError(f"{path}: {name} is empty; name a file")
    try:
        parts = urlsplit(config.nats.url)
        named = parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    url = config.nats.url
    if not named or parts.scheme not in ("nats", "tls") or not url.isprintable() or " " in url:
        raise ConfigError(
            f"{path}: nats.url: {url[:80]!r} is not an address, for example nats://127.0.0.1:4222"
        )


def _value(config: Config, name: str) -> Any:
    section, _, key = name.partition(".")
    return getattr(getattr(config, section), key)

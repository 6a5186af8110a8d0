"""Which files besides the trail belong to a centre, and which of them are secrets."""

from pathlib import Path
from typing import Any

from collector.channels.wiring import FILE as CARDS
from collector.config import Config
from collector.export.wiring import FILE as EXPORTS
from collector.shown.file import FILE as SHOWN

# Keys of the configuration that name one file.
OPEN = ("approvals.policy_file", "nats.hosts_file", "nats.tls_ca", "webhook.tls_ca", "oidc.tls_ca")
SECRET = (
    "signing.key_file",
    "nats.seed_file",
    "api.tls_certificate",
    "api.tls_key",
    "slack.bot_token_file",
    "slack.app_token_file",
    "slack.signing_secret_file",
    "oidc.client_secret_file",
)


def databases(config: Config) -> dict[str, Path]:
    """Return the SQLite files, by their names in a backup; the first is that of identities."""
    identities = Path(config.identities.file)
    cards = Path(config.channels.file) if config.channels.file else identities.with_name(CARDS)
    exports = identities.with_name(EXPORTS)
    shown = identities.with_name(SHOWN)
    return {"identities.db": identities, CARDS: cards, SHOWN: shown, EXPORTS: exports}


def files(config: Config, *, secrets: bool) -> dict[str, Path]:
    """Return the files that the configuration names and that are there, by their keys."""
    found = {key: named(config, key) for key in (*OPEN, *(SECRET if secrets else ()))}
    return {key: path for key, path in found.items() if path is not None and path.is_file()}


def named(config: Config, key: str) -> Path | None:
    """Return what a key like "signing.key_file" names, None for nothing."""
    section, _, name = key.partition(".")
    value: Any = getattr(getattr(config, section), name)
    return Path(value) if value else None

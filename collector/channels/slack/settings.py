"""The section [slack] of collector.toml: what it may say, and the secrets that its files hold."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from collector.errors import ConfigError

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SECRETS = {
    "bot_token_file": (re.compile(r"xoxb-[A-Za-z0-9-]{10,250}"), "a bot token (xoxb-...)"),
    "app_token_file": (re.compile(r"xapp-[A-Za-z0-9-]{10,250}"), "an app-level token (xapp-...)"),
    "signing_secret_file": (re.compile(r"[0-9a-f]{32,64}"), "a signing secret (hexadecimal)"),
}
_LARGEST = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """How the collector works with one Slack workspace; without a bot token it does not.

    `tell_owner`: whoever answers for a subject is told of its requests, whatever their routes are.
    """

    bot_token_file: str = ""
    app_token_file: str = ""
    signing_secret_file: str = ""
    mode: Literal["socket", "http"] = "socket"
    request_timeout_s: int = 30
    api_url: str = "https://slack.com/api/"
    tell_owner: bool = True

    @property
    def enabled(self) -> bool:
        """Whether Slack is used at all."""
        return bool(self.bot_token_file)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the files hold; the second is empty in HTTP mode and the third in Socket Mode."""

    bot_token: str
    app_token: str
    signing_secret: str

    def __repr__(self) -> str:
        return "Secrets(...)"


def check(path: Path, slack: Slack) -> None:
    """Raise ConfigError, naming the key of the file at `path`, if the section cannot be meant."""
    other = "app_token_file" if slack.mode == "socket" else "signing_secret_file"
    if slack.enabled and not getattr(slack, other):
        raise ConfigError(
            f'{path}: slack.{other} is empty, and slack.mode "{slack.mode}" needs it; '
            "see docs/slack.md"
        )
    if not slack.enabled and (slack.app_token_file or slack.signing_secret_file):
        raise ConfigError(f"{path}: slack.bot_token_file is empty; name the file of the bot token")
    if not 0 < slack.request_timeout_s <= 600:
        raise ConfigError(f"{path}: slack.request_timeout_s must be more than 0 and at most 600")
    _check_url(path, slack.api_url)


def read_secrets(slack: Slack) -> Secrets:
    """Return what the files hold; raise ConfigError naming the key, the file and the remedy."""
    wanted = {"bot_token_file", "app_token_file" if slack.mode == "socket" else ""}
    if slack.mode == "http":
        wanted.add("signing_secret_file")
    found = {
        key: _secret(key, Path(getattr(slack, key))) if key in wanted else "" for key in _SECRETS
    }
    return Secrets(*found.values())


def _secret(key: str, path: Path) -> str:
    pattern, what = _SECRETS[key]
    try:
        with path.open("rb") as file:
            mode = path.stat().st_mode
            text = file.read(_LARGEST).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"slack.{key}: {path} cannot be read ({error}); put {what} there"
        ) from error
    if mode & 0o077:
        raise ConfigError(f"slack.{key}: others may read {path}; run: chmod 600 {path}")
    if not pattern.fullmatch(text):
        raise ConfigError(f"slack.{key}: {path} does not hold {what} and nothing else")
    return text


def _check_url(path: Path, url: str) -> None:
    try:
        parts = urlsplit(url)
        secure = parts.scheme == "https" or parts.hostname in _LOOPBACK
        fine = bool(parts.hostname) and secure and url.isprintable() and " " not in url
    except ValueError:
        fine = False
    if not fine or not url.endswith("/"):
        raise ConfigError(
            f'{path}: slack.api_url: {url[:80]!r} is not an https address that ends in "/", for '
            'example "https://slack.com/api/"'
        )

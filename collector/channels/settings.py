"""The [channels], [webhook] and [teams] sections: where requests are shown, and with what."""

from collections.abc import Iterable
from dataclasses import dataclass

from collector.channels.interface import Route
from collector.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """Where each request is shown, and the SQLite file that remembers the cards.

    `fallback` is for requests that one of their routes has refused for good.
    """

    file: str = ""
    default: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Signed webhooks: the directory with NAME.url and NAME.secret for each route webhook:NAME."""

    directory: str = ""
    tls_ca: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teams:
    """Microsoft Teams: the directory with NAME.url for each route teams:NAME."""

    directory: str = ""


def check(settings: Channels, *, place: str) -> None:
    """Raise ConfigError naming `place` for a route that cannot be one."""
    for key in ("default", "fallback"):
        routes_of(getattr(settings, key), place=f"{place}.{key}")


def routes_of(texts: Iterable[str], *, place: str) -> tuple[Route, ...]:
    """Return the routes that these texts name; raise ConfigError naming `place`."""
    try:
        return tuple(dict.fromkeys(Route.parse(text) for text in texts))
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from error

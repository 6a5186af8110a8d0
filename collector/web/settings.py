"""The [web] section: whether there are pages, and the address that people open them under."""

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from collector.approvals.capped import named_by
from collector.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """The pages. Without `public_url` they are at the address that the API listens on."""

    enabled: bool = True
    public_url: str = ""


def check(settings: Web, *, place: str) -> None:
    """Raise ConfigError naming `place` unless people can open the address, and safely."""
    if not settings.public_url:
        return
    url = settings.public_url
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if (
        not named
        or parts.scheme not in ("http", "https")
        or parts.username is not None
        or parts.path.strip("/")
        or any(sign in url for sign in "?#")
        or not url.isascii()
        or not url.isprintable()
        or " " in url
    ):
        raise ConfigError(
            f"{place}.public_url: {url[:80]!r} is not the address of a site without a path, for "
            'example "https://holdfast.example.com"'
        )
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise ConfigError(
            f"{place}.public_url: {url[:80]!r} would carry sessions over the network in the clear; "
            "write https://, with a certificate in api.tls_certificate or at a proxy in front"
        )


def base_url(settings: Web, *, listen: str, tls: bool) -> str:
    """Return the address of the pages without a slash at its end.

    `listen` is api.listen; where that is every address, it is this machine's name.
    """
    if settings.public_url:
        return settings.public_url.rstrip("/")
    host, _, port = listen.rpartition(":")
    if _is_wildcard(host.strip("[]")):
        host = socket.gethostname()
    return f"{'https' if tls else 'http'}://{host}:{port}"


def request_url(base: str, request: str) -> str:
    """Return where a person reads and answers a request; every channel links here.

    The summary of a session at its limit has a page of its own.
    """
    name = named_by(request)
    return f"{base}/requests/{request}" if name is None else f"{base}/sessions/{name}"


def quarantine_url(base: str, subject: str, host: str) -> str:
    """Return the form that puts a subject under quarantine, filled in; it does nothing yet."""
    return f"{base}/quarantines?{urlencode({'subject': subject, 'host': host})}#stop"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False

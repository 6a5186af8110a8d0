"""The [oidc] section: which provider is trusted, and what its claims make of a person."""

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from collector.errors import ConfigError
from collector.identity.roles import Role
from wire.messages import Severity

_LONGEST_SESSION_H = 24 * 31
_LONGEST_KNOWN_DAYS = 366
_LONGEST_AGE_S = 86_400


def _no_roles() -> dict[str, Role]:
    return {}


def _no_logins() -> dict[str, tuple[str, ...]]:
    return {}


def _fresh_for_what_matters_most() -> dict[Severity, int]:
    return {Severity.HIGH: 900, Severity.CRITICAL: 300}


@dataclass(frozen=True, slots=True, kw_only=True)
class Oidc:
    """The identity provider. Without `issuer` there is none, and tokens are the only proof.

    `roles` maps a group to a role; the highest counts. `logins` maps a person's name to login
    users on hosts. `step_up_max_age_s` maps a severity to how old the last proof may be.
    """

    issuer: str = ""
    client_id: str = ""
    client_secret_file: str = ""
    tls_ca: str = ""
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    name_claim: str = "email"
    groups_claim: str = "groups"
    logins_claim: str = ""
    roles: dict[str, Role] = field(default_factory=_no_roles)
    default_role: str = ""
    logins: dict[str, tuple[str, ...]] = field(default_factory=_no_logins)
    session_hours: float = 8.0
    known_days: float = 30.0
    step_up_max_age_s: dict[Severity, int] = field(default_factory=_fresh_for_what_matters_most)

    @property
    def strictest_age_s(self) -> int | None:
        """How fresh a proof must be to serve for every severity; None if none asks for one."""
        return min(self.step_up_max_age_s.values(), default=None)


def check(settings: Oidc, *, public_url: str, place: str) -> None:
    """Raise ConfigError naming `place` for what cannot be meant, or would let in nobody."""
    if not settings.issuer:
        if settings != Oidc():
            raise ConfigError(
                f"{place}.issuer is empty, so nothing else in the section has an effect; write the "
                "address of the identity provider, or remove the section"
            )
        return
    if not is_safe_url(settings.issuer) or any(sign in settings.issuer for sign in "?#"):
        raise ConfigError(
            f"{place}.issuer: {settings.issuer[:80]!r} is not the https address of an identity "
            "provider; write it as the provider does, for example https://id.example.com/realms/x"
        )
    if not public_url:
        raise ConfigError(
            f"{place} needs web.public_url: the provider sends people back to it; write the "
            'address that they open, for example "https://holdfast.example.com"'
        )
    if not settings.client_id:
        raise ConfigError(f"{place}.client_id is empty; register Holdfast with the provider")
    if "openid" not in settings.scopes:
        raise ConfigError(f'{place}.scopes has no "openid"; add it, it is what signs people in')
    for key in ("name_claim", "groups_claim"):
        if not getattr(settings, key):
            raise ConfigError(f"{place}.{key} is empty; name a claim of the provider")
    _check_roles(settings, place)
    _check_times(settings, place)


def is_safe_url(url: str) -> bool:
    """Say whether this is an address to which secrets may go: https, or http on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and " " not in url and parts.username is None
    private = parts.scheme == "https" or (parts.scheme == "http" and _here(host))
    return plain and bool(host) and private


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_roles(settings: Oidc, place: str) -> None:
    known = ", ".join(role.value for role in Role)
    if settings.default_role and settings.default_role not in list(Role):
        raise ConfigError(
            f"{place}.default_role: {settings.default_role[:80]!r} is no role; write one of "
            f"{known}, or nothing to refuse whoever is in no group of {place}.roles"
        )
    if not settings.roles and not settings.default_role:
        raise ConfigError(
            f"{place}.roles is empty, so nobody could sign in; map groups of the provider to roles "
            f"({known})"
        )


def _check_times(settings: Oidc, place: str) -> None:
    for name, most in (("session_hours", _LONGEST_SESSION_H), ("known_days", _LONGEST_KNOWN_DAYS)):
        value = getattr(settings, name)
        if not 0 < value <= most:
            raise ConfigError(f"{place}.{name} must be more than 0 and at most {most}, not {value}")
    for severity, age_s in settings.step_up_max_age_s.items():
        if not 0 < age_s <= _LONGEST_AGE_S:
            raise ConfigError(
                f"{place}.step_up_max_age_s.{severity} must be more than 0 and at most "
                f"{_LONGEST_AGE_S}, not {age_s}"
            )

"""What a provider's claims make of a person: name, groups, role, login users. Pure."""

from collections.abc import Mapping
from typing import Any

from collector.errors import Refusal
from collector.identity.roles import Role
from collector.identity.signed_in import Identity, once
from collector.oidc.id_token import Claims, authenticated_s
from collector.oidc.refusals import not_proved
from collector.oidc.settings import Oidc

_LONGEST_NAME = 254
_MOST = 2000
# Names by which hosts and owners may know the same person. They only ever refuse.
_OTHER_NAMES = ("email", "preferred_username", "upn", "unique_name", "nickname", "name")
_ORDER = tuple(Role)


def identity_of(claims: Claims, settings: Oidc, now_s: int) -> Identity:
    """Return who has signed in; raise Refusal for whoever has no name or no role here."""
    name = _name(claims, settings.name_claim)
    groups = _texts(claims, settings.groups_claim)
    mapped = tuple(
        one for who, users in settings.logins.items() if _same(who, name) for one in users
    )
    logins = _texts(claims, settings.logins_claim) if settings.logins_claim else ()
    names = (claims.get(one) for one in _OTHER_NAMES)
    return Identity(
        issuer=settings.issuer,
        subject=claims["sub"],
        name=name,
        names=once([one for one in names if isinstance(one, str) and _usable(one) and one != name]),
        role=_role(name, groups, settings),
        groups=groups,
        logins=once((*logins, *mapped)),
        authenticated_ns=authenticated_s(claims, now_s) * 10**9,
    )


def lacks(claims: Claims, settings: Oidc) -> bool:
    """Say whether a claim that counts is not in the ID token, so the provider has to be asked."""
    wanted = (settings.name_claim, settings.groups_claim, settings.logins_claim)
    return any(one and _find(claims, one) is None for one in wanted)


def _name(claims: Claims, claim: str) -> str:
    name = _find(claims, claim)
    if not isinstance(name, str) or not _usable(name):
        raise not_proved(
            f"the provider sends no usable claim {claim!r}, which is what people are named by"
        )
    # Whoever may write any address into their account must not become its owner. Some providers
    # write the truth value as text.
    verified = claims.get("email_verified")
    if claim == "email" and verified is not None and verified not in (True, "true"):
        raise Refusal(
            403,
            "email_unverified",
            f"the provider has not verified that {name} is your address",
            "verify it with the provider, then sign in again",
        )
    return name.casefold() if "@" in name else name


def _role(name: str, groups: tuple[str, ...], settings: Oidc) -> Role:
    found = [settings.roles[group] for group in groups if group in settings.roles]
    if found:
        return max(found, key=_ORDER.index)
    if settings.default_role:
        return Role(settings.default_role)
    raise Refusal(
        403,
        "no_role",
        f"{name} is in no group that has a role here",
        "have an administrator add you to such a group at the provider, or map one in oidc.roles",
        {"groups": list(groups[:50])},
    )


def _texts(claims: Claims, claim: str) -> tuple[str, ...]:
    """Return a claim that lists texts, or is one; nothing if it is not there."""
    found = _find(claims, claim)
    if found is None:
        if claim in _elsewhere(claims):
            raise not_proved(
                f"you are in too many groups for the provider to list them in {claim!r}; have it "
                "send only the groups that are assigned to Holdfast"
            )
        return ()
    listed = [found] if isinstance(found, str) else found
    if (
        not isinstance(listed, list)
        or len(listed) > _MOST
        or not all(isinstance(one, str) and len(one) <= 1000 for one in listed)
    ):
        raise not_proved(f"the provider's claim {claim!r} is no list of at most {_MOST} names")
    return once([one for one in listed if one.strip()])


def _elsewhere(claims: Claims) -> Mapping[str, Any]:
    """Return the claims that Entra leaves out because they would be too long."""
    names = claims.get("_claim_names")
    return names if isinstance(names, dict) else {}


def _find(claims: Claims, claim: str) -> object:
    """Return a claim by its whole name, or by a path with dots: realm_access.roles."""
    if claim in claims:
        return claims[claim]
    found: object = claims
    for part in claim.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def _usable(name: str) -> bool:
    return 0 < len(name) <= _LONGEST_NAME and name.isprintable() and name == name.strip()


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.casefold()

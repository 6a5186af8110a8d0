"""Checks an ID token: who signed it, for whom, when, and in answer to what. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from collector.oidc.refusals import not_proved

# How far the provider's clock and ours may be apart.
SKEW_S = 60
# Signed with a key that only the provider has. `none` and HMAC by a shared secret are not.
_ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "Ed25519", "EdDSA"),
)
_LONGEST = 64 << 10

Claims = Mapping[str, Any]


class UnknownKeyError(Exception):
    """The token names a key that is not among those at hand: the provider may have a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the token must answer to. Times in seconds.

    `nonce` is None only for device sign-in, which has none; `max_age_s` is what was asked for.
    """

    issuer: str
    client_id: str
    nonce: str | None
    access_token: str | None
    max_age_s: int | None
    now_s: int


def acceptable(supported: object) -> list[str]:
    """Return those algorithms of the provider that are taken."""
    named = supported if isinstance(supported, list) else ["RS256"]
    return [one for one in _ALGORITHMS if one in named]


def check_id_token(
    raw: object, keys: KeySet, algorithms: Sequence[str], expected: Expected
) -> Claims:
    """Return the claims; raise Refusal if it proves nobody, UnknownKeyError if the key is new."""
    if not isinstance(raw, str) or len(raw) > _LONGEST:
        raise not_proved("the provider sent no ID token")
    try:
        token = jwt.decode(
            raw,
            keys,
            registry=JWSRegistry(algorithms=list(algorithms), strict_check_header=False),
        )
    except InvalidKeyIdError as error:
        raise UnknownKeyError from error
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise not_proved(f"its ID token is not signed as it must be ({_words(error)})") from error
    claims = CodeIDToken(
        token.claims,
        token.header,
        {
            "iss": {"essential": True, "value": expected.issuer},
            "aud": {"essential": True, "value": expected.client_id},
        },
        {
            "nonce": expected.nonce,
            "client_id": expected.client_id,
            "access_token": expected.access_token,
            "max_age": expected.max_age_s,
        },
    )
    try:
        claims.validate(now=expected.now_s, leeway=SKEW_S)
    except (JoseError, ValueError, TypeError) as error:
        raise not_proved(f"its ID token is not as it must be ({_words(error)})") from error
    _check_subject(claims)
    _check_age(claims, expected)
    return dict(claims)


def authenticated_s(claims: Claims, now_s: int) -> int:
    """Return when the provider last saw a proof, 0 if it does not say; never in the future."""
    said = claims.get("auth_time")
    return 0 if not _is_time(said) else min(int(said), now_s)


def _check_subject(claims: Claims) -> None:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise not_proved("its ID token names no subject")


def _check_age(claims: Claims, expected: Expected) -> None:
    """A provider that passes over max_age must not make an old proof look new."""
    said = claims.get("auth_time")
    if said is not None and (not _is_time(said) or said > expected.now_s + SKEW_S):
        raise not_proved("its ID token has an auth_time that cannot be")
    if expected.max_age_s is None:
        return
    if not _is_time(said):
        raise not_proved("a fresh sign-in was asked for and the provider does not say when it was")
    if expected.now_s - said > expected.max_age_s + SKEW_S:
        raise not_proved("a fresh sign-in was asked for and the provider sent an older one")


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1 << 53


def _words(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:200]

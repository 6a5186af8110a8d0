"""Signing in with a browser: sends it to the provider, and judges what it brings back.

What has to be remembered in between is in a cookie of that browser and in nobody's memory, so it
outlives a restart and cannot be filled up. State, nonce and PKCE's secret all follow from the
whole cookie: a changed one fits no answer.
"""

import asyncio
import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from authlib.oauth2.rfc7636 import create_s256_code_challenge

from collector.errors import Refusal
from collector.identity.people import TokenKind, store_token
from collector.identity.sessions import Sessions
from collector.identity.signed_in import Identity, Person, remember
from collector.oidc.claims import identity_of, lacks
from collector.oidc.id_token import Claims
from collector.oidc.provider import Answer, Provider
from collector.oidc.refusals import not_proved
from collector.oidc.settings import Oidc

PENDING_S = 600
CALLBACK_PATH = "/auth/callback"
_COOKIE = re.compile(r"([0-9a-f]{64})\.([0-9]{1,12})\.([0-9]{0,6})\.([A-Za-z0-9_-]{0,4000})")
_LONGEST_TARGET = 2000


@dataclass(frozen=True, slots=True)
class Begun:
    """Where the browser goes, and the cookie that it has to bring back; for PENDING_S."""

    url: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Proved:
    """Who signed in, the value of their new session cookie, and where they wanted to go."""

    person: Person
    cookie: str
    target: str


class SignIn:
    """Sign-in through one provider. Every method raises Refusal where someone is not let in."""

    def __init__(
        self, settings: Oidc, provider: Provider, sessions: Sessions, *, database: Path, base: str
    ) -> None:
        """`base` is the public address, without a slash at its end."""
        self.settings = settings
        self.provider = provider
        self._sessions = sessions
        self._database = database
        self._redirect = base + CALLBACK_PATH

    async def begin(self, *, target: str, step_up: bool) -> Begun:
        """Return where to send a browser; with `step_up` the provider asks for a fresh proof."""
        max_age_s = self.settings.strictest_age_s if step_up else None
        packed = base64.urlsafe_b64encode(local_path(target).encode()).decode().rstrip("=")
        expires = int(time.time()) + PENDING_S
        cookie = f"{secrets.token_hex(32)}.{expires}.{max_age_s or ''}.{packed}"
        url = await self.provider.authorization_url(
            redirect_uri=self._redirect,
            state=_derived(cookie, "state"),
            nonce=_derived(cookie, "nonce"),
            code_challenge=create_s256_code_challenge(_derived(cookie, "verifier")),
            code_challenge_method="S256",
            max_age=max_age_s,
        )
        return Begun(url, cookie)

    async def finish(self, cookie: str, answer: Mapping[str, str], *, address: str = "") -> Proved:
        """Return who came back, from `address`, with an answer to this browser's own question."""
        found = _COOKIE.fullmatch(cookie)
        if found is None or int(found[2]) <= time.time():
            raise not_proved("it was begun in another browser, or more than ten minutes ago")
        if not hmac.compare_digest(
            answer.get("state", "").encode(), _derived(cookie, "state").encode()
        ):
            raise not_proved("the answer belongs to another sign-in")
        await self._check_answer(answer)
        tokens = await self.provider.exchange(
            grant_type="authorization_code",
            code=answer["code"],
            redirect_uri=self._redirect,
            code_verifier=_derived(cookie, "verifier"),
        )
        if not tokens.good:
            raise not_proved(f"the provider does not take its own code ({tokens.error})")
        identity = await self.identify(
            tokens, nonce=_derived(cookie, "nonce"), max_age_s=int(found[3]) if found[3] else None
        )
        person = await self.admit(identity)
        session = await asyncio.to_thread(
            self._sessions.create,
            person,
            authenticated_ns=identity.authenticated_ns,
            expires_ns=self._expires_ns(),
            address=address,
        )
        return Proved(person, session, _unpacked(found[4]))

    async def identify(
        self, tokens: Answer, *, nonce: str | None, max_age_s: int | None
    ) -> Identity:
        """Return who the tokens prove."""
        claims: Claims = await self.provider.claims(tokens.body, nonce=nonce, max_age_s=max_age_s)
        if lacks(claims, self.settings):
            # What was signed comes before what was only said over the same connection.
            claims = {**await self.provider.userinfo(tokens.body, claims["sub"]), **claims}
        return identity_of(claims, self.settings, int(time.time()))

    async def admit(self, identity: Identity) -> Person:
        """Keep what was proved."""
        known_ns = int(self.settings.known_days * 86_400 * 10**9)
        return await asyncio.to_thread(
            remember, self._database, identity, known_until_ns=time.time_ns() + known_ns
        )

    async def token(self, identity: Identity, *, address: str = "") -> tuple[str, Person, int]:
        """Return a token of the command line, whose it is, and when it ends (ns)."""
        person, expires_ns = await self.admit(identity), self._expires_ns()
        token = await asyncio.to_thread(
            store_token,
            self._database,
            name=person.name,
            role=person.role,
            expires_ns=expires_ns,
            kind=TokenKind.LOGIN,
            person=person,
            authenticated_ns=identity.authenticated_ns,
            address=address,
        )
        return token, person, expires_ns

    def _expires_ns(self) -> int:
        return time.time_ns() + int(self.settings.session_hours * 3_600 * 10**9)

    async def _check_answer(self, answer: Mapping[str, str]) -> None:
        metadata = await self.provider.metadata()
        # RFC 9207: an answer of another provider must not be taken to this one.
        issuer = answer.get("iss")
        needed = metadata.get("authorization_response_iss_parameter_supported") is True
        if issuer != self.settings.issuer and (issuer is not None or needed):
            raise not_proved("the answer comes from another provider")
        if "error" in answer:
            raise not_proved(f"the provider says {answer['error'][:80]!r}")
        if not answer.get("code"):
            raise not_proved("the provider sent no code")


def local_path(target: str) -> str:
    """Return a path of this site; raise Refusal for what a browser might take elsewhere."""
    plain = target.isascii() and target.isprintable() and "\\" not in target
    here = target.startswith("/") and target[1:2] != "/"
    if not plain or not here or len(target) > _LONGEST_TARGET:
        raise Refusal(
            422,
            "foreign_target",
            f"next: {target[:80]!r} is not a path of this site",
            "open the page that you want, and sign in from there",
        )
    return target


def _derived(cookie: str, what: str) -> str:
    return hmac.new(cookie.encode(), what.encode(), hashlib.sha256).hexdigest()


def _unpacked(packed: str) -> str:
    try:
        return local_path(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)).decode())
    except (ValueError, Refusal):
        return "/"

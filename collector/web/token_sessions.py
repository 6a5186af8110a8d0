"""Sessions of people who signed in with a token, for centres without an identity provider.

They live in memory and end with the collector. The token is asked about at each request, so a
session ends in the moment in which its token is revoked.
"""

import hashlib
import re
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass

from collector.errors import Refusal
from collector.identity.journal import Entry, Via, What
from collector.identity.people import Caller, Tokens
from collector.identity.sessions import Session

LIFE_S = 12 * 3600
_COOKIE = re.compile(r"hfw_[0-9a-f]{64}")
_MOST = 1000


@dataclass(frozen=True, slots=True)
class _Kept:
    token: str
    expires_ns: int


class TokenSessions:
    """Makes, checks and ends them; the oldest one goes when there are too many."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def create(self, token: str, *, address: str = "") -> str:
        """Return the value of a new cookie for a person's token; raise Refusal for any other."""
        caller = await self._tokens.check(token)
        if caller is None:
            raise Refusal(
                401,
                "unauthorized",
                "the token is unknown, expired or revoked",
                "check that it was copied whole, or have an administrator make you one: "
                "holdfast-collector token create",
            )
        if caller.machine:
            raise Refusal(
                403,
                "machine_token",
                "this token is a machine's, and these pages are for people",
                "sign in with a token of your own",
            )
        await self._tokens.note(_entry(What.SIGN_IN, caller, address))
        cookie = f"hfw_{secrets.token_hex(32)}"
        self._kept[_digest(cookie)] = _Kept(token, time.time_ns() + LIFE_S * 10**9)
        while len(self._kept) > _MOST:
            self._kept.popitem(last=False)
        return cookie

    async def check(self, cookie: str) -> Session | None:
        """Return the session of a cookie, or None; raise StateError if tokens cannot be read."""
        if not _COOKIE.fullmatch(cookie):
            return None
        key = _digest(cookie)
        kept = self._kept.get(key)
        if kept is None:
            return None
        caller = await self._tokens.check(kept.token) if kept.expires_ns > time.time_ns() else None
        if caller is None:
            self._kept.pop(key, None)
            return None
        return Session(
            caller=caller,
            csrf=_digest(f"csrf:{cookie}"),
            authenticated_ns=0,
            expires_ns=kept.expires_ns,
        )

    async def end(self, cookie: str, *, address: str = "") -> None:
        """End a session, if there is one."""
        session = await self.check(cookie)
        if self._kept.pop(_digest(cookie), None) is not None and session is not None:
            await self._tokens.note(_entry(What.SIGN_OUT, session.caller, address))


def _entry(what: What, caller: Caller, address: str) -> Entry:
    return Entry(
        what=what,
        via=Via.TOKEN,
        person=caller.name,
        role=caller.role.value,
        proof=caller.token,
        address=address,
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

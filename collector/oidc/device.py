"""Signing in without a browser of one's own (RFC 8628): `holdfast login` on a distant machine.

The collector speaks with the provider, so the command line needs no secret and no way to it.
"""

import secrets
import time
from dataclasses import dataclass
from typing import Any

from collector.errors import Refusal
from collector.identity.signed_in import Person
from collector.oidc.provider import DEVICE_GRANT, Answer
from collector.oidc.refusals import not_proved, provider_unavailable
from collector.oidc.settings import is_safe_url
from collector.oidc.sign_in import SignIn

# Anyone may begin a sign-in, so how many are kept is bounded, and how long.
_MOST = 256
_LONGEST_S = 1800
_SLOWER_S = 5


@dataclass(frozen=True, slots=True)
class Begun:
    """What a person needs to see, and the handle by which the program asks how it went."""

    handle: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_s: int
    interval_s: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """The token of whoever has signed in."""

    token: str
    person: Person
    expires_ns: int


@dataclass(slots=True)
class _Waiting:
    device_code: str
    until: float
    interval_s: int
    next_poll: float


class DeviceSignIn:
    """Begins device sign-ins and asks the provider how they go. Every method raises Refusal."""

    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in
        self._waiting: dict[str, _Waiting] = {}

    async def begin(self) -> Begun:
        """Return what to show to the person."""
        self._forget_old()
        if len(self._waiting) >= _MOST:
            raise Refusal(503, "busy", "too many sign-ins are under way", "try again in a minute")
        settings = self._sign_in.settings
        answer = await self._sign_in.provider.start_device(settings.strictest_age_s)
        if not answer.good:
            raise provider_unavailable(f"it refuses device sign-in ({answer.error})")
        facts = _checked(answer.body)
        handle = secrets.token_urlsafe(32)
        now = time.monotonic()
        self._waiting[handle] = _Waiting(
            facts["device_code"],
            until=now + facts["expires_in"],
            interval_s=facts["interval"],
            next_poll=now,
        )
        return Begun(
            handle,
            facts["user_code"],
            facts["verification_uri"],
            facts["verification_uri_complete"],
            facts["expires_in"],
            facts["interval"],
        )

    async def poll(self, handle: str, *, address: str = "") -> Admitted | int:
        """Return the token, or how many seconds to wait before asking again.

        `address` is where the program asks from.
        """
        self._forget_old()
        waiting = self._waiting.get(handle)
        if waiting is None:
            raise Refusal(
                410,
                "sign_in_over",
                "this sign-in is unknown, over, or took too long",
                "run `holdfast login` again",
            )
        now = time.monotonic()
        if now < waiting.next_poll:
            return waiting.interval_s
        waiting.next_poll = now + waiting.interval_s
        answer = await self._sign_in.provider.exchange(
            grant_type=DEVICE_GRANT, device_code=waiting.device_code
        )
        if not answer.good:
            return self._not_yet(handle, waiting, answer)
        # A second poll that was under way must not make a second token of one sign-in.
        if self._waiting.pop(handle, None) is None:
            raise not_proved("it was asked for twice at once")
        identity = await self._sign_in.identify(answer, nonce=None, max_age_s=None)
        return Admitted(*await self._sign_in.token(identity, address=address))

    def _not_yet(self, handle: str, waiting: _Waiting, answer: Answer) -> int:
        if answer.error == "slow_down":
            waiting.interval_s += _SLOWER_S
            waiting.next_poll += _SLOWER_S
        elif answer.error != "authorization_pending":
            self._waiting.pop(handle, None)
            raise not_proved(f"the provider says {answer.error!r}")
        return waiting.interval_s

    def _forget_old(self) -> None:
        now = time.monotonic()
        for handle in [one for one, waiting in self._waiting.items() if waiting.until <= now]:
            del self._waiting[handle]


def _checked(body: Any) -> dict[str, Any]:
    """Return what the provider said, complete and in bounds; the addresses are shown to people."""
    texts = ("device_code", "user_code", "verification_uri")
    facts = {name: body.get(name) for name in texts}
    facts["verification_uri_complete"] = body.get("verification_uri_complete") or ""
    if not all(isinstance(one, str) and len(one) <= 4000 for one in facts.values()) or not all(
        facts[name] for name in texts
    ):
        raise provider_unavailable("its answer to a device sign-in is not complete")
    if not facts["user_code"].isprintable() or not all(
        is_safe_url(one)
        for one in (facts["verification_uri"], facts["verification_uri_complete"])
        if one
    ):
        raise provider_unavailable("its answer to a device sign-in cannot be shown")
    facts["expires_in"] = _bounded(body.get("expires_in"), 600, _LONGEST_S)
    facts["interval"] = _bounded(body.get("interval"), 5, 60)
    return facts


def _bounded(value: object, default: int, most: int) -> int:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    return max(1, min(int(value), most)) if good else default  # type: ignore[call-overload]

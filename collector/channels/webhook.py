"""The generic channel: each change of a request as signed JSON, posted to an address of yours.

It follows the Standard Webhooks specification, so that libraries for it verify what comes.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

from collector.card import as_dict
from collector.channels.http import Http
from collector.channels.interface import Notice, Posted
from collector.channels.targets import Targets
from collector.errors import ChannelError
from collector.sanitize import visible

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64
_OF_SESSION = {"request.opened": "session.capped", "request.changed": "session.changed"}


class Webhook:
    """Posts to the addresses in a directory: NAME.url with NAME.secret is the route webhook:NAME.

    A secret is `whsec_` and 24 to 64 bytes in base64. Several, one a line, all sign: so a receiver
    can change over from one to the next.
    """

    name = "webhook"

    def __init__(self, directory: Path, http: Http) -> None:
        self._targets = Targets(directory, self.name)
        self._http = http

    async def post(self, notice: Notice) -> Posted:
        """Tell of a request."""
        return await self._send(notice, "request.opened")

    async def update(self, posted: Posted, notice: Notice) -> Posted:
        """Tell what became of it since."""
        return await self._send(notice, "request.changed")

    async def run(self) -> None:
        """Nothing comes in."""

    async def _send(self, notice: Notice, kind: str) -> Posted:
        name = notice.to
        url, place = self._targets.url(name), self._targets.place(name, "secret")
        keys = [key_of(secret, place) for secret in self._targets.secrets(name)]
        body = json.dumps(payload(notice, kind), ensure_ascii=False, separators=(",", ":")).encode()
        await self._http.post(url, body, signed(notice.delivery, int(time.time()), body, keys))
        return Posted(notice.delivery)


def payload(notice: Notice, kind: str) -> dict[str, Any]:
    """Return what is posted, JSON-ready; all text in it is safe to show."""
    if notice.session is not None:
        return {
            "type": "session.closed" if notice.finished else _OF_SESSION[kind],
            "session": notice.request,
            "waiting": notice.session.waiting,
            "denied": notice.session.denied,
            "link": notice.link,
            "card": as_dict(notice.card),
            "card_digest": notice.shown,
        }
    decision = notice.decision
    return {
        "type": "request.closed" if notice.finished else kind,
        "request": notice.request,
        "version": notice.version,
        "state": notice.state.value,
        "outcome": notice.outcome.value if notice.outcome else None,
        "decision": decision
        and {
            "answer": decision.answer.value,
            "ground": decision.ground.value,
            "by": visible(decision.by),
            "via": visible(decision.via),
            "reason": visible(decision.reason),
            "time_ns": decision.time_ns,
        },
        "votes": [
            {
                "answer": vote.answer.value,
                "ground": vote.ground.value,
                "by": visible(vote.by),
                "via": visible(vote.via),
                "reason": visible(vote.reason),
                "time_ns": vote.time_ns,
            }
            for vote in notice.votes
        ],
        "asked": notice.asked and {"people": notice.asked.people, "stuck": notice.asked.stuck},
        "link": notice.link,
        "card": as_dict(notice.card),
        "card_digest": notice.shown,
    }


def signed(delivery: str, timestamp: int, body: bytes, keys: list[bytes]) -> dict[str, str]:
    """Return the headers that prove a body: `delivery` is its id, the time in seconds (UTC)."""
    message = f"msg_{delivery}"
    text = f"{message}.{timestamp}.".encode() + body
    proofs = [base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode() for key in keys]
    return {
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{proof}" for proof in proofs),
    }


def key_of(secret: str, place: str) -> bytes:
    """Return the key that a secret spells; raise ChannelError naming `place`."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or not _SHORTEST <= len(key) <= _LONGEST:
        raise ChannelError(
            f"{place}: a secret is {_PREFIX} and {_SHORTEST} to {_LONGEST} bytes in base64; make "
            f'one with: echo "{_PREFIX}$(openssl rand -base64 32)"'
        )
    return key

"""HTTP mode: one route that Slack calls, for when Socket Mode is not enough.

A request counts if Slack's signature over its raw body is right, its time is within five minutes,
and it has not been here before: slack_sdk's verifier keeps no record of what it has seen.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock

from fastapi import APIRouter, Request
from fastapi.responses import Response
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.signature import Clock, SignatureVerifier

from collector.errors import Refusal

log = logging.getLogger(__name__)

PATH = "/api/v1/slack/events"
_WINDOW_S = 300
_MOST_SEEN = 100_000


class Verifier:
    """Says whether a request is Slack's, and lets each through once."""

    def __init__(self, secret: str, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = _Clock(clock)
        self._verifier = SignatureVerifier(secret, self._clock)
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def check(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Raise Refusal unless this is a new request of Slack's."""
        stamp = headers.get("x-slack-request-timestamp", "")
        signature = headers.get("x-slack-signature", "")
        # The verifier raises on what is no number, and takes digits of other scripts for one.
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12 and signature.isascii()):
            raise _bad("its timestamp or signature is missing or none")
        try:
            right = self._verifier.is_valid(body, stamp, signature)
        except ValueError as error:  # a body that is not UTF-8
            raise _bad("its body cannot be read") from error
        if not right:
            raise _bad("its signature is wrong, or it is older than five minutes")
        self._once(signature)

    def _once(self, signature: str) -> None:
        now = self._clock.now()
        with self._lock:
            while self._seen and next(iter(self._seen.values())) < now:
                self._seen.popitem(last=False)
            if signature in self._seen:
                raise _bad("it has been here before")
            if len(self._seen) >= _MOST_SEEN:
                raise Refusal(503, "busy", "too many requests from Slack", "try again later")
            # A timestamp may be five minutes ahead, and is good for five minutes after that.
            self._seen[signature] = now + 2 * _WINDOW_S


class _Clock(Clock):
    def __init__(self, clock: Callable[[], float]) -> None:
        self._now = clock

    def now(self) -> float:
        return self._now()


def router(app: AsyncApp, verifier: Verifier) -> APIRouter:
    """Return the route; the collector's API serves it."""
    made = APIRouter()

    @made.post(PATH, include_in_schema=False)
    async def slack_events(request: Request) -> Response:
        body = await request.body()
        verifier.check(body, request.headers)
        reply = await app.async_dispatch(
            AsyncBoltRequest(
                body=body.decode("utf-8"),
                query=str(request.url.query),
                headers=dict(request.headers.items()),
            )
        )
        return Response(
            content=reply.body,
            status_code=reply.status,
            media_type=reply.first_headers().get("content-type", "text/plain"),
        )

    return made


def _bad(why: str) -> Refusal:
    return Refusal(
        401,
        "slack_signature",
        f"this is no request of Slack's: {why}",
        "check slack.signing_secret_file and the clock of this machine",
    )

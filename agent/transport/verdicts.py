"""Reads the host's verdicts without polling: one standing request, answered as they come.

nats-py's own fetch asks anew for each message; who waits for an answer should not wait for that.
"""

import asyncio
import json
import logging
from types import TracebackType

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from agent.errors import TransportError
from wire import subjects
from wire.ids import HostId

log = logging.getLogger("holdfast.agent.link")

_BATCH = 64
_EXPIRES_S = 30
_HEARTBEAT_S = 5
_SILENCE_S = 3 * _HEARTBEAT_S
_NS = 1_000_000_000
_REQUEST = json.dumps(
    {"batch": _BATCH, "expires": _EXPIRES_S * _NS, "idle_heartbeat": _HEARTBEAT_S * _NS}
).encode()
_NOBODY = "503"
_HEARTBEAT = "100"


class Incoming:
    """One message of the stream."""

    def __init__(self, message: Msg) -> None:
        self._message = message
        self.data: bytes = message.data
        self.headers: dict[str, str] | None = message.headers

    async def done(self) -> None:
        """Tell the stream that the message was dealt with."""
        await self._message.ack()

    async def again(self, delay_s: float) -> None:
        """Ask the stream to deliver the message once more, later."""
        await self._message.nak(delay=delay_s)


class Reading:
    """A host's durable consumer of verdicts, or of orders, open within a block."""

    def __init__(self, client: Client, host: HostId, stream: str) -> None:
        of_verdicts = stream == subjects.VERDICTS
        self._what = "verdicts" if of_verdicts else "orders"
        consumer = subjects.verdict_consumer(host) if of_verdicts else subjects.order_consumer(host)
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = client.new_inbox()
        self._queue: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._owed = 0  # how many messages the standing request may still bring
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> "Reading":
        try:
            self._subscription = await self._client.subscribe(self._inbox, cb=self._queue.put)
        except (nats.errors.Error, OSError) as error:
            raise TransportError(f"{self._what}: cannot subscribe: {error!r}") from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._subscription is not None and not self._client.is_closed:
            try:
                await self._subscription.unsubscribe()
            except (nats.errors.Error, OSError) as error:
                log.debug("%s: unsubscribe: %r", self._what, error)

    def renew(self) -> None:
        """Forget the standing request: the connection it was made on is gone."""
        self._queue.put_nowait(None)

    async def next(self) -> Incoming | None:
        """Wait for a message; None when the connection was made anew, or the wait was in vain.

        Raises TransportError without a consumer.
        """
        if self._owed <= 0:
            await self._ask()
        try:
            async with asyncio.timeout(_SILENCE_S):
                message = await self._queue.get()
        except TimeoutError:
            message = None  # not even a heartbeat: the request is lost
        if message is None:
            self._owed = 0
            return None
        status = (message.headers or {}).get("Status") if not message.reply else None
        if status is None:
            self._owed -= 1
            return Incoming(message)
        if status == _NOBODY:
            self._owed = 0
            raise TransportError(
                f"{self._what}: nobody serves them; enroll this host at the collector, which makes "
                "its consumers"
            )
        if status != _HEARTBEAT:  # anything else ends the request
            self._owed = 0
        return None

    async def _ask(self) -> None:
        try:
            await self._client.publish(self._subject, _REQUEST, reply=self._inbox)
        except (nats.errors.Error, OSError) as error:
            raise TransportError(f"{self._what}: cannot be asked for: {error!r}") from error
        self._owed = _BATCH

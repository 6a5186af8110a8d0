"""Reads a durable consumer without polling: one standing request, answered as messages come.

nats-py's own fetch waits until a batch is full or its time is over; a hold must not wait.
"""

import asyncio
import json
import logging
from types import TracebackType

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

log = logging.getLogger(__name__)

_EXPIRES_S = 30
_HEARTBEAT_S = 5
_SILENCE_S = 3 * _HEARTBEAT_S
_NS = 1_000_000_000


class Pull:
    """Messages of one consumer, in stream order, in batches of whatever is there."""

    def __init__(
        self, client: Client, *, stream: str, consumer: str, batch: int, max_bytes: int
    ) -> None:
        """Ask for up to `batch` messages or `max_bytes` bytes at a time."""
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._request = json.dumps(
            {
                "batch": batch,
                "max_bytes": max_bytes,
                "expires": _EXPIRES_S * _NS,
                "idle_heartbeat": _HEARTBEAT_S * _NS,
            }
        ).encode()
        self._batch = batch
        self._outstanding = 0  # how many messages the server still owes to the last request
        self._queue: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._inbox = client.new_inbox()
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> "Pull":
        self._subscription = await self._client.subscribe(self._inbox, cb=self._queue.put)
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
            except nats.errors.Error as error:
                log.debug("nats: unsubscribe: %s", error)

    def renew(self) -> None:
        """Forget the standing request: the server it was made to is gone."""
        self._queue.put_nowait(None)

    async def next(self, gather_s: float = 0.0) -> list[Msg]:
        """Return the next messages, at least one; wait for as long as it takes.

        `gather_s`: how long to wait for more once there is one.
        """
        while True:
            if self._outstanding <= 0:
                await self._ask()
            messages: list[Msg] = []
            try:
                async with asyncio.timeout(_SILENCE_S):
                    self._sort(await self._queue.get(), messages)
            except TimeoutError:
                self._outstanding = 0  # not even a heartbeat: the request is lost
            if messages and gather_s:
                await asyncio.sleep(gather_s)
            while not self._queue.empty():
                self._sort(self._queue.get_nowait(), messages)
            if messages:
                return messages

    async def _ask(self) -> None:
        try:
            await self._client.publish(self._subject, self._request, reply=self._inbox)
        except nats.errors.OutboundBufferLimitError:
            return  # not connected; `renew` wakes the wait below as soon as it is
        self._outstanding = self._batch

    def _sort(self, message: Msg | None, messages: list[Msg]) -> None:
        if message is None:
            self._outstanding = 0
            return
        status = (message.headers or {}).get("Status") if not message.reply else None
        if status is None:
            self._outstanding -= 1
            messages.append(message)
        elif status != "100":  # anything but a heartbeat ends the request
            self._outstanding = 0
            description = (message.headers or {}).get("Description", "")
            level = logging.DEBUG if status in ("404", "408", "409") else logging.WARNING
            log.log(level, "nats: %s: %s %s", self._subject, status, description)

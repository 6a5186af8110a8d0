"""Publishes what the journal says of holds: in order for each hold, until it is acknowledged."""

import asyncio
import logging
from functools import partial
from typing import Protocol

from agent.errors import AgentError, TransportError
from agent.journal import Journal, Letter
from agent.tasks import end
from wire.ids import HoldId, MessageId

log = logging.getLogger("holdfast.agent.outbox")

_AGAIN_S = 1.0
_AT_ONCE = 64


class Publisher(Protocol):
    """What can publish to a stream."""

    async def ready(self) -> None:
        """Return once connected."""

    async def publish(self, subject: str, data: bytes, message_id: MessageId | None) -> bool:
        """Publish; return whether the stream knew the id already; raise TransportError."""


class Outbox:
    """Empties the journal's outbox."""

    def __init__(self, journal: Journal, link: Publisher) -> None:
        self._journal = journal
        self._link = link
        self._wake = asyncio.Event()
        # What an earlier run left may have been sent without our knowing.
        self._tried = journal.message_ids()
        self._empty = asyncio.Event()
        self._sending: dict[HoldId, asyncio.Task[None]] = {}
        self._failure: BaseException | None = None

    def wake(self) -> None:
        """Say that there is something new to publish."""
        self._empty.clear()
        self._wake.set()

    async def empty(self) -> None:
        """Return once everything is acknowledged."""
        await self._empty.wait()

    async def run(self) -> None:
        """Publish for ever; cancel to stop."""
        try:
            while True:
                try:
                    await self._round()
                except AgentError as error:
                    log.warning("hold messages wait: %s", error)
                    await asyncio.sleep(_AGAIN_S)
                except Exception:  # top of the loop
                    log.exception("hold messages wait")
                    await asyncio.sleep(_AGAIN_S)
        finally:
            await end(self._sending.values())

    async def _round(self) -> None:
        """Start to send what is new; a hold does not wait for the messages of another."""
        self._wake.clear()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        letters = self._journal.letters(_AT_ONCE + len(self._sending))
        if not letters:
            self._empty.set()
        # One for each hold, so each hold's own messages stay in order.
        fresh = [letter for letter in letters if letter.hold not in self._sending]
        if fresh:
            await self._link.ready()
        for letter in fresh[: _AT_ONCE - len(self._sending)]:
            task = asyncio.create_task(self._send(letter))
            self._sending[letter.hold] = task
            task.add_done_callback(partial(self._sent, letter.hold))
        await self._wake.wait()

    def _sent(self, hold: HoldId, task: asyncio.Task[None]) -> None:
        self._sending.pop(hold, None)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failure = failure
        self._wake.set()

    async def _send(self, letter: Letter) -> None:
        again = letter.message_id in self._tried
        self._tried.add(letter.message_id)
        if await self._link.publish(letter.subject, letter.data, letter.message_id) and not again:
            # Only somebody who guessed 128 random bits could have used it, or the id is broken.
            self._journal.rename(letter)
            raise TransportError(
                f"{letter.subject}: the stream knew the id of a message that was never sent; it "
                "is sent again under another"
            )
        self._journal.published(letter)
        self._tried.discard(letter.message_id)

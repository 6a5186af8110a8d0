"""Publishes what the journal says of holds: in order for each hold, until it is acknowledged."""

import asyncio
import logging
from typing import Protocol

from agent.errors import AgentError, TransportError
from agent.journal import Journal, Letter
from wire.ids import MessageId

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

    def wake(self) -> None:
        """Say that there is something new to publish."""
        self._empty.clear()
        self._wake.set()

    async def empty(self) -> None:
        """Return once everything is acknowledged."""
        await self._empty.wait()

    async def run(self) -> None:
        """Publish for ever; cancel to stop."""
        while True:
            try:
                await self._round()
            except AgentError as error:
                log.warning("hold messages wait: %s", error)
                await asyncio.sleep(_AGAIN_S)
            except Exception:  # top of the loop
                log.exception("hold messages wait")
                await asyncio.sleep(_AGAIN_S)

    async def _round(self) -> None:
        self._wake.clear()
        letters = self._journal.letters(_AT_ONCE)
        if not letters:
            self._empty.set()
            await self._wake.wait()
            return
        await self._link.ready()
        # One for each hold, so each hold's own messages stay in order.
        done = await asyncio.gather(*map(self._send, letters), return_exceptions=True)
        for outcome in done:
            if isinstance(outcome, BaseException):
                raise outcome

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

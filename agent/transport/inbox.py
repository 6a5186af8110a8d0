"""Receives verdicts, or orders, and hands each to the keeper; acknowledges once the journal has the
result.
"""

import asyncio
import logging
from collections.abc import Callable

from agent.errors import AgentError, JournalError
from agent.transport.link import Link
from wire import subjects

log = logging.getLogger("holdfast.agent.inbox")

_AGAIN_S = 2.0


class Inbox:
    """Reads what is for this host in one stream, for ever."""

    def __init__(
        self,
        link: Link,
        on_message: Callable[[bytes, dict[str, str] | None], None],
        *,
        stream: str = subjects.VERDICTS,
    ) -> None:
        self._link = link
        self._on_message = on_message
        self._stream = stream
        self._what = "verdicts" if stream == subjects.VERDICTS else "orders"
        self._complaint = ""

    async def run(self) -> None:
        """Read for ever; cancel to stop."""
        while True:
            try:
                await self._link.ready()
                await self._read()
            except AgentError as error:
                if str(error) != self._complaint:  # the same again and again is one line
                    self._complaint = str(error)
                    log.warning("%s wait: %s", self._what, error)
                await asyncio.sleep(_AGAIN_S)
            except Exception:  # top of the loop
                log.exception("%s wait", self._what)
                await asyncio.sleep(_AGAIN_S)

    async def _read(self) -> None:
        async with self._link.reading(self._stream) as incoming:
            while True:
                message = await incoming.next()
                if message is None:
                    await self._link.ready()
                    continue
                self._complaint = ""
                try:
                    self._on_message(message.data, message.headers)
                except JournalError as error:
                    log.error("one of the %s waits: %s", self._what, error)
                    await message.again(_AGAIN_S)
                    continue
                await message.done()

"""Receives verdicts and hands each to the keeper; acknowledges once the journal has the result."""

import asyncio
import logging
from collections.abc import Callable

from agent.errors import AgentError, JournalError
from agent.transport.link import Link

log = logging.getLogger("holdfast.agent.inbox")

_AGAIN_S = 2.0


class Inbox:
    """Reads this host's verdicts for ever."""

    def __init__(self, link: Link, on_verdict: Callable[[bytes, dict[str, str] | None], None]):
        self._link = link
        self._on_verdict = on_verdict

    async def run(self) -> None:
        """Read for ever; cancel to stop."""
        while True:
            try:
                await self._link.ready()
                await self._read()
            except AgentError as error:
                log.warning("verdicts wait: %s", error)
                await asyncio.sleep(_AGAIN_S)
            except Exception:  # top of the loop
                log.exception("verdicts wait")
                await asyncio.sleep(_AGAIN_S)

    async def _read(self) -> None:
        async with self._link.verdicts() as verdicts:
            while True:
                message = await verdicts.next()
                if message is None:
                    await self._link.ready()
                    continue
                try:
                    self._on_verdict(message.data, message.headers)
                except JournalError as error:
                    log.error("a verdict waits: %s", error)
                    await message.again(_AGAIN_S)
                    continue
                await message.done()

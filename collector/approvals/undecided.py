"""Votes that are stored and not decided upon, because their collector was killed in between.

Each is given a moment, in which whoever stored it comes to decide; then it is decided upon here.
The decision is the same message whoever makes it, so it makes no difference if both do.
"""

import asyncio
import logging
from collections.abc import Iterable

from collector.approvals.book import Book
from collector.approvals.record import Record
from collector.approvals.settle import Settling
from collector.errors import CentreError
from wire.ids import RequestId
from wire.messages import Vote

log = logging.getLogger(__name__)

_GRACE_S = 1.0
_AGAIN_S = 2.0


class Undecided:
    """Sees that no stored vote is left without a decision."""

    def __init__(self, book: Book, settling: Settling) -> None:
        self._book = book
        self._settling = settling
        self._waiting: asyncio.Queue[tuple[float, Vote]] = asyncio.Queue()

    def take_up(self, records: Iterable[Record]) -> None:
        """Take what an earlier run has left; nobody else is about to decide on that."""
        for record in records:
            for vote in record.votes:
                self._waiting.put_nowait((0.0, vote))

    def add(self, vote: Vote) -> None:
        """Look in a moment whether a vote was decided upon."""
        self._waiting.put_nowait((asyncio.get_running_loop().time() + _GRACE_S, vote))

    async def run(self) -> None:
        """Work for ever; cancel to stop."""
        while True:
            due, vote = await self._waiting.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            while True:
                try:
                    await self.see_to(vote)
                    break
                except CentreError as error:
                    log.warning("request %s: not decided yet: %s", vote.request, error)
                    await asyncio.sleep(_AGAIN_S)

    async def see_to(self, vote: Vote) -> None:
        """Decide now if nobody has, and the votes are enough; raise CentreError if it fails."""
        for hold in (vote.request, *vote.also):
            await self._see_to_hold(RequestId(hold))

    async def _see_to_hold(self, request: RequestId) -> None:
        record = self._book.register.get(request)
        # One whose hold is not here yet comes again with it.
        if record is None or record.decision is not None or record.ended_by_host is not None:
            return
        # Of several votes that a policy asks for, each may be the last that is missing.
        decision = self._settling.standing(record)
        if decision is None:
            return
        log.warning("request %s: its votes were not decided upon; done now", record.id)
        await self._settling.complete(record, decision)

"""Sends events: through the spool on disk, one batch after another, in the order of the chain."""

import asyncio
import logging

from agent.clock import Clock
from agent.errors import AgentError, TransportError
from agent.rows import Columns, Row, events_in, gap_row, to_columns
from agent.transport.outbox import Publisher
from agent.transport.spool import Sealed, Spool
from wire import codec, subjects
from wire.ids import HostId

log = logging.getLogger("holdfast.agent.sender")

_AGAIN_S = 1.0
# Rows come in company, and a batch of one row costs everybody on its way about as much as one of
# hundreds, the trail most of all: what comes slowly is gathered. No hold and no answer comes this
# way.
_GATHER_S = 0.2
_SMALL_BYTES = codec.LARGEST // 10


class EventSender:
    """Takes rows from the rest of the agent and sees them to the centre."""

    def __init__(self, spool: Spool, link: Publisher, host: HostId, clock: Clock) -> None:
        self._spool = spool
        self._link = link
        self._subject = subjects.event(host)
        self._clock = clock
        self._wake = asyncio.Event()
        self._unkept = 0
        # What an earlier run had sealed may have been sent without our knowing.
        self._tried = set(spool.on_their_way())

    def add(self, columns: Columns, count: int) -> None:
        """Keep `count` rows, given by column (see wire.events), and send them when possible.

        Never raises: if the disk refuses, the rows are lost and a gap says how many.
        """
        if not count:
            return
        now_ns = self._clock.now_ns()
        try:
            if self._unkept:
                words = "the spool could not be written"
                self._spool.add(to_columns([gap_row(now_ns, self._unkept, words)]), now_ns)
                self._unkept = 0
            self._spool.add(columns, now_ns)
        except AgentError as error:
            lost = events_in(columns)
            self._unkept += lost
            log.error("%d events lost: %s", lost, error)
        self._wake.set()

    def add_row(self, row: Row) -> None:
        """Keep one row; as `add`."""
        self.add(to_columns([row]), 1)

    @property
    def waiting(self) -> int:
        """How many rows are not yet on their way."""
        return self._spool.waiting

    async def run(self) -> None:
        """Send for ever; cancel to stop."""
        while True:
            try:
                await self._round()
            except AgentError as error:
                log.warning("events wait: %s", error)
                await asyncio.sleep(_AGAIN_S)
            except Exception:  # top of the loop
                log.exception("events wait")
                await asyncio.sleep(_AGAIN_S)

    async def _round(self) -> None:
        await self._link.ready()
        self._wake.clear()
        batch = self._spool.next()
        if batch is None:
            await self._wake.wait()
            await asyncio.sleep(_GATHER_S)
            return
        await self._send(batch)
        if len(batch.data) < _SMALL_BYTES:
            await asyncio.sleep(_GATHER_S)

    async def _send(self, batch: Sealed) -> None:
        again = batch.message_id in self._tried
        self._tried.add(batch.message_id)
        if await self._link.publish(self._subject, batch.data, batch.message_id) and not again:
            self._spool.rename(batch)
            raise TransportError(
                f"{self._subject}: the stream knew the id of a batch that was never sent; it is "
                "sent again under another"
            )
        self._spool.sent(batch)
        self._tried.discard(batch.message_id)

"""A real trail on disk with events and holds that a test puts there, for one event loop."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from collector.config import Trail
from collector.trail.event_rows import event_rows
from collector.trail.rows import Row
from collector.trail.store import open_trail
from collector.trail.writer import Writer
from tests.support.wire_host import batch
from wire.codec import decode_as, encode
from wire.ids import HostId
from wire.messages import EventBatch

HOST, OTHER = HostId("a" * 32), HostId("b" * 32)


@dataclass
class ExportTrail:
    """An open trail and the heads of the chains of its hosts."""

    connection: duckdb.DuckDBPyConnection
    writer: Writer
    _heads: dict[HostId, tuple[int, int, str]] = field(default_factory=dict)

    async def events(self, host: HostId, rows: Sequence[dict[str, object]]) -> None:
        """Write one more batch of a host."""
        await self.batch(self.next_batch(host, rows))

    def next_batch(self, host: HostId, rows: Sequence[dict[str, object]]) -> EventBatch:
        """Return the next batch of a host, and count it as sent."""
        sequence, first, previous = self._heads.get(host, (1, 1, "0" * 64))
        message = batch(host, sequence, first, rows, previous)
        link = message.chain
        self._heads[host] = (sequence + 1, first + len(rows), link)
        return message

    async def batch(self, message: EventBatch) -> None:
        """Write a batch as it came."""
        data = encode(message)
        await self.writer.write(batches=[event_rows(decode_as(data, EventBatch), data)])

    async def rows(self, *rows: Row) -> None:
        """Write rows of other tables."""
        await self.writer.write(rows)

    def sql(self, query: str) -> list[tuple[object, ...]]:
        """Return the rows of a query."""
        return self.connection.cursor().execute(query).fetchall()


@asynccontextmanager
async def export_trail(directory: Path) -> AsyncIterator[ExportTrail]:
    """Give an empty trail."""
    connection = open_trail(Trail(file=str(directory / "trail.duckdb")))
    writer = Writer(connection, on_fatal=lambda why: None)
    try:
        yield ExportTrail(connection, writer)
    finally:
        await asyncio.to_thread(writer.close)
        connection.close()

"""One continuous export at work: plans, sends, and moves its place once all of it was taken.

It reads with a cursor and a thread of its own, so that a receiver that is away or slow delays
nothing but its own records, which wait in the trail.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from collector.errors import ChannelBusyError, CollectorError, TooLargeError
from collector.export.formats import SHAPES, Format, Names
from collector.export.gather import Gatherer
from collector.export.position import Positions, Sending
from collector.export.settings import Export
from collector.export.sinks import Sink
from collector.export.sources import SOURCES
from collector.export.syslog import Record

log = logging.getLogger(__name__)

T = TypeVar("T")

# Commits come many a second; a receiver gets what they bring together.
_GATHER_S = 0.2
# Without a ring; the clocks may have stepped.
_LOOK_AGAIN_S = 3600.0
_FIRST_WAIT_S, _LONGEST_WAIT_S, _LONGEST_WISH_S = 1.0, 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class ExportHealth:
    """How an export does. `lag_s` is the age of the oldest record that was not taken; 0: none.

    `gone`: records that retention dropped before they were sent, since the collector started.
    """

    settings: Export
    sent: int
    lag_s: float
    failures: int
    trouble: str
    worked_ns: int | None
    gone: int = 0


class Exporter:
    """The records of one [[export]], delivery by delivery."""

    def __init__(
        self,
        settings: Export,
        database: Path,
        cursor: duckdb.DuckDBPyConnection,
        sink: Sink,
        names: Names,
        rung: asyncio.Event,
    ) -> None:
        """`database` keeps places; `rung` is set when the trail has more."""
        self._settings, self._database, self._cursor = settings, database, cursor
        self._sink, self._names, self._rung = sink, names, rung
        self._thread = ThreadPoolExecutor(1, f"export-{settings.name}")
        self._positions: Positions | None = None
        self._gatherer: Gatherer | None = None
        self._most = settings.batch
        self._sent = self._failures = self._gone = 0
        self._oldest_ns: int | None = None
        self._trouble = ""
        self._worked_ns: int | None = None
        self._wait_s = _FIRST_WAIT_S

    def health(self) -> ExportHealth:
        """Return how it does."""
        lag_s = 0.0 if self._oldest_ns is None else (time.time_ns() - self._oldest_ns) / 1e9
        return ExportHealth(
            self._settings,
            self._sent,
            max(0.0, lag_s),
            self._failures,
            self._trouble,
            self._worked_ns,
            self._gone,
        )

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                self._rung.clear()
                if await self._tried():
                    continue
                try:
                    await asyncio.wait_for(self._rung.wait(), _LOOK_AGAIN_S)
                except TimeoutError:
                    continue
                await asyncio.sleep(_GATHER_S)
        finally:
            await self._close()

    async def _tried(self) -> bool:
        """Send what is next; return False when there is nothing. A failure waits its time."""
        try:
            more = await self._step()
            self._trouble, self._wait_s = "", _FIRST_WAIT_S
        except TooLargeError as error:
            await self._cut(error)
            return True
        except CollectorError as error:
            wish_s = error.retry_after_s if isinstance(error, ChannelBusyError) else None
            await self._fail(error, wish_s)
            return True
        except Exception as error:  # the top of the export: everything else goes on
            log.exception("export %s", self._settings.name)
            await self._fail(error, None)
            return True
        return more

    async def _step(self) -> bool:
        if self._gatherer is None:
            await self._in_thread(self._open)
        gatherer, positions = self._gatherer, self._positions
        assert gatherer is not None and positions is not None
        began = asyncio.get_running_loop().time()
        found = await self._in_thread(partial(gatherer.next, self._most))
        if found is None:
            self._oldest_ns = None
            return False
        sending, received_ns = found
        if self._oldest_ns is None or not self._trouble:
            self._oldest_ns = received_ns
        records = await self._in_thread(partial(self._records, gatherer, sending))
        if records:
            await self._sink.send(sending, records)
        await self._in_thread(partial(positions.done, self._settings.name, sending))
        if len(records) < sending.count:
            gone = sending.count - len(records)
            self._gone += gone
            log.warning(
                "export %s: %d records of %s were gone from the trail before they were sent%s; "
                "their numbers are left out",
                *(self._settings.name, gone, sending.source),
                f": {sending.first} to {sending.last} of {sending.host}" if sending.host else "",
            )
        self._sent = sending.number + sending.count - 1
        self._worked_ns = time.time_ns()
        spent = asyncio.get_running_loop().time() - began
        await asyncio.sleep(max(0.0, len(records) / self._settings.per_second - spent))
        return True

    def _open(self) -> None:
        self._positions = self._positions or Positions(self._database)
        gatherer = Gatherer(self._cursor, self._positions, self._settings)
        gatherer.begin()
        self._sent = self._positions.number(self._settings.name)
        self._gatherer = gatherer

    def _records(self, gatherer: Gatherer, sending: Sending) -> list[Record]:
        source = SOURCES[sending.source]
        shape = SHAPES[Format(self._settings.format.value)]
        return [
            Record(
                number,
                source.name,
                row[source.time],
                row,
                lambda one: shape(source, one, self._names),
            )
            for number, row in gatherer.rows(sending)
        ]

    async def _cut(self, error: TooLargeError) -> None:
        """Send less at a time: none of it was taken."""
        if self._most == 1 or self._gatherer is None:
            await self._fail(error, None)
            return
        self._most = max(1, self._most // 2)
        log.warning("export %s: %s; %d at a time now", self._settings.name, error, self._most)
        await self._in_thread(self._gatherer.forget)

    async def _fail(self, error: Exception, wish_s: float | None) -> None:
        self._failures += 1
        self._trouble = str(error) or type(error).__name__
        wait_s = self._wait_s if wish_s is None else min(max(wish_s, 1.0), _LONGEST_WISH_S)
        log.warning("export %s: %s; again in %g s", self._settings.name, self._trouble, wait_s)
        self._wait_s = min(2 * self._wait_s, _LONGEST_WAIT_S)
        await asyncio.sleep(wait_s)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _close(self) -> None:
        # A query that takes long must not keep the collector from ending.
        self._cursor.interrupt()
        await self._sink.close()
        await self._in_thread(self._let_go)
        self._thread.shutdown()

    def _let_go(self) -> None:
        if self._positions is not None:
            self._positions.close()
        self._cursor.close()


class Exporters:
    """All continuous exports of a collector."""

    def __init__(self, exporters: list[Exporter]) -> None:
        self._exporters = exporters

    def health(self) -> list[ExportHealth]:
        """Return how each does."""
        return [one.health() for one in self._exporters]

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """Return what runs until cancelled, for each."""
        return [one.run() for one in self._exporters]

"""The one thread that writes DuckDB: what is queued goes into one transaction, then is answered.

Duplicates are left out inside that transaction, so a message delivered twice is stored once.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from collector.errors import TrailError
from collector.trail import schema
from collector.trail.chain import Break
from collector.trail.heads import Heads
from collector.trail.rows import EventRows, Rows

log = logging.getLogger(__name__)

_GROUP = 64


@dataclass(frozen=True, slots=True)
class Job:
    """What one caller wants written, all of it or nothing."""

    rows: tuple[Rows, ...]
    batches: tuple[EventRows, ...]
    done: "Future[None]"


class Writer:
    """Takes rows from any number of tasks of one event loop. `healthy` tells of the last commit."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, *, on_fatal: Callable[[str], None]
    ) -> None:
        """`on_fatal` is called from the thread when DuckDB itself has given the file up."""
        self._connection = connection.cursor()
        self._on_fatal = on_fatal
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._heads = Heads(self._connection)
        self._thread = threading.Thread(target=self._run, name="trail-writer", daemon=True)
        self._failing = False
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether the thread lives and its last transaction was committed."""
        return self._thread.is_alive() and not self._failing

    async def write(self, rows: Sequence[Rows] = (), batches: Sequence[EventRows] = ()) -> None:
        """Return once all of it is committed; raise TrailError if none of it is."""
        done: Future[None] = Future()
        self._jobs.put(Job(tuple(rows), tuple(batches), done))
        await asyncio.wrap_future(done)

    def close(self) -> None:
        """Write what is queued, then end the thread and its cursor."""
        self._jobs.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while True:
            jobs, last = self._take()
            if jobs and not self._commit(jobs) and len(jobs) > 1:
                # One bad job must not take the others with it.
                for job in jobs:
                    self._commit([job])
            if last:
                return

    def _take(self) -> tuple[list[Job], bool]:
        """Wait for a job; return it with all that are queued behind it, and whether to end."""
        job = self._jobs.get()
        jobs: list[Job] = []
        while job is not None:
            jobs.append(job)
            if len(jobs) == _GROUP or self._jobs.empty():
                return jobs, False
            job = self._jobs.get()
        return jobs, True

    def _commit(self, jobs: list[Job]) -> bool:
        try:
            self._connection.execute("BEGIN")
            for table in schema.TABLES:
                self._insert(table, [r.data for j in jobs for r in j.rows if r.table is table])
            self._append_events([batch for job in jobs for batch in job.batches])
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - the top of the thread; nothing is lost: see below
            self._failed(jobs, error)
            return False
        self._failing = False
        for job in jobs:
            job.done.set_result(None)
        return True

    def _failed(self, jobs: list[Job], error: Exception) -> None:
        """Undo, and tell the callers, who keep their messages unacknowledged and try again."""
        self._failing = True
        self._heads.forget()
        log.error("trail: %s: %s", type(error).__name__, error)
        try:
            self._connection.execute("ROLLBACK")
        except duckdb.Error as undo:
            log.debug("trail: rollback: %s", undo)
        if isinstance(error, duckdb.FatalException | duckdb.InternalException):
            self._on_fatal(f"{type(error).__name__}: {error}")
        if len(jobs) == 1:
            jobs[0].done.set_exception(TrailError(f"the trail was not written: {error}"))

    def _insert(self, table: schema.Table, parts: Sequence[pa.Table]) -> None:
        if not parts:
            return
        self._connection.register("incoming", pa.concat_tables(parts))
        try:
            ignore = " ON CONFLICT DO NOTHING" if table.key else ""
            self._connection.execute(
                f"INSERT INTO {table.name} BY NAME SELECT * FROM incoming{ignore}"  # noqa: S608
            )
        finally:
            self._connection.unregister("incoming")

    def _append_events(self, batches: Sequence[EventRows]) -> None:
        self._heads.begin()
        now = time.time_ns()
        judged = [(batch, self._heads.take(batch)) for batch in batches]
        fresh = [batch for batch, breaks in judged if breaks is not None]
        breaks = [(batch, one) for batch, found in judged for one in found or ()]
        self._insert(schema.EVENTS, [batch.data for batch in fresh])
        if fresh:
            self._insert(schema.BATCHES, [_batch_rows(fresh, now)])
        if breaks:
            self._insert(schema.CHAIN_BREAKS, [_break_rows(breaks, now)])


def _batch_rows(batches: Sequence[EventRows], now_ns: int) -> pa.Table:
    names = (
        "host",
        "sequence",
        "first",
        "count",
        "previous",
        "chain",
        "last_event_ns",
        "gap_events",
    )
    rows = [{name: getattr(b, name) for name in names} | {"received_ns": now_ns} for b in batches]
    return pa.Table.from_pylist(rows, schema=schema.BATCHES.schema)


def _break_rows(breaks: Sequence[tuple[EventRows, Break]], now_ns: int) -> pa.Table:
    rows = []
    for batch, one in breaks:
        log.warning(
            "trail: host %s batch %d: %s: %s", batch.host, batch.sequence, one.kind, one.detail
        )
        rows.append(
            {
                "host": batch.host,
                "sequence": batch.sequence,
                "kind": one.kind,
                "detail": one.detail,
                "missing_batches": one.missing_batches,
                "missing_events": one.missing_events,
                "received_ns": now_ns,
            }
        )
    return pa.Table.from_pylist(rows, schema=schema.CHAIN_BREAKS.schema)

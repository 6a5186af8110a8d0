"""The one thread that writes the trail: what is queued goes into one transaction, then is answered.

Duplicates are left out inside that transaction, so a message delivered twice is stored once. Rows
about requests do not wait behind large batches of events, which have transactions of their own.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from collector.errors import TrailError
from collector.trail import schema
from collector.trail.chain import Break
from collector.trail.event_rows import EventRows
from collector.trail.heads import Heads
from collector.trail.rows import Row, arrow_of
from collector.trail.segments.files import directory_of
from collector.trail.segments.shelf import Shelf, Swap
from collector.trail.segments.spill import Spill

log = logging.getLogger(__name__)

_GROUP = 64
# A transaction costs milliseconds however little is in it, and what belongs to one act comes within
# a few: so the writer waits a little for company. Nobody who holds a process waits for it.
_GATHER_S = 0.02
# So many events go along with rows; more have a transaction of their own.
_FEW_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Job:
    """What one caller wants written, all of it or nothing."""

    rows: tuple[Row, ...]
    batches: tuple[EventRows, ...]
    done: "Future[None]"
    swap: Swap | None = None
    write_out: bool = False  # have the tail of the events become a file
    between: Callable[[], None] | None = None  # runs when this is committed, before what comes next

    @property
    def events(self) -> int:
        """How many events it has."""
        return sum(batch.count for batch in self.batches)


class Writer:
    """Takes rows from any number of tasks of one event loop. `healthy` tells of the last commit."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, *, on_fatal: Callable[[str], None]
    ) -> None:
        """`on_fatal` is called from the thread when DuckDB itself has given the file up."""
        self._connection = connection.cursor()
        self._on_fatal = on_fatal
        self._changed = threading.Condition()
        # What is small, and what is large: taken in turns, so that neither starves.
        self._queues: tuple[deque[Job], deque[Job]] = (deque(), deque())
        self._turn = 0
        self._closing = False
        self._heads = Heads(self._connection)
        self.shelf = Shelf(self._connection, directory_of(connection))
        self._spill = Spill(self._connection, self.shelf)
        self._listeners: list[Callable[[frozenset[str]], None]] = []
        self._thread = threading.Thread(target=self._run, name="trail-writer", daemon=True)
        self._failing = False
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether the thread lives and its last transaction was committed."""
        return self._thread.is_alive() and not self._failing

    async def write(self, rows: Sequence[Row] = (), batches: Sequence[EventRows] = ()) -> None:
        """Return once all of it is committed; raise TrailError if none of it is."""
        job = Job(tuple(rows), tuple(batches), Future())
        with self._changed:
            self._queues[job.events > _FEW_EVENTS].append(job)
            self._changed.notify()
        # A caller who is cancelled must not take the future with it: the thread sets it.
        await asyncio.shield(asyncio.wrap_future(job.done))

    def swap(self, change: Swap, rows: Sequence[Row] = ()) -> "Future[None]":
        """Have segments take the place of others, and rows be there with that or not at all.

        The future fails with TrailError if neither is so.
        """
        return self._queue(Job(tuple(rows), (), Future(), swap=change))

    def write_out(self) -> "Future[None]":
        """Have the tail of the events become a segment, however short it is."""
        return self._queue(Job((), (), Future(), write_out=True))

    def hold_still(self, work: Callable[[], None]) -> "Future[None]":
        """Run `work` in the writer's thread between two transactions; the files do not change.

        The future is done when it has returned; TrailError if it could not be run.
        """
        return self._queue(Job((), (), Future(), between=work))

    @property
    def tail_rows(self) -> int:
        """How many events are in no segment yet."""
        return self._spill.tail

    def listen(self, changed: Callable[[frozenset[str]], None]) -> None:
        """Call with the names of the tables after each commit, from the writer's thread."""
        self._listeners.append(changed)

    def _queue(self, job: Job) -> "Future[None]":
        with self._changed:
            self._queues[0].append(job)
            self._changed.notify()
        return job.done

    def close(self) -> None:
        """Write what is queued, then end the thread and its cursor."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while jobs := self._take():
            if not self._commit(jobs) and len(jobs) > 1:
                # One bad job must not take the others with it.
                for job in jobs:
                    self._commit([job])

    def _take(self) -> list[Job]:
        """Wait for a job; return it with those of its kind behind it. Nothing: it is the end."""
        small, large = self._queues
        with self._changed:
            self._changed.wait_for(lambda: self._closing or any(self._queues))
            self._changed.wait_for(lambda: self._closing or large, _GATHER_S)
            waiting = self._queues[self._turn] or self._queues[1 - self._turn]
            self._turn = 1 if waiting is small else 0
            jobs = [waiting.popleft()] if waiting else []
            events = sum(job.events for job in jobs)
            while waiting and len(jobs) < _GROUP and events + waiting[0].events <= _FEW_EVENTS:
                jobs.append(waiting.popleft())
                events += jobs[-1].events
            return jobs

    def _commit(self, jobs: list[Job]) -> bool:
        try:
            try:
                self._transaction(jobs, repeated=False)
            except duckdb.ConstraintException:
                # Something is there already, which is rare: to look for it costs as much again.
                self._undo()
                self._transaction(jobs, repeated=True)
        except Exception as error:  # noqa: BLE001 - the top of the thread; nothing is lost: see below
            self._failed(jobs, error)
            return False
        self._failing = False
        for job in jobs:
            if job.between is None:
                job.done.set_result(None)
        for changed in self._listeners:
            changed(_tables_of(jobs))
        for job in jobs:
            if job.between is not None:
                self._run_between(job, job.between)
        return True

    def _run_between(self, job: Job, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - somebody else's; the thread goes on
            log.error("trail: between two transactions: %s: %s", type(error).__name__, error)
            job.done.set_exception(TrailError(f"not done between two transactions: {error}"))
        else:
            job.done.set_result(None)

    def _transaction(self, jobs: list[Job], *, repeated: bool) -> None:
        """Write the jobs; `repeated`: some of their rows may be there, and are left out."""
        self._spill.begin()
        self._connection.execute("BEGIN")
        for table in schema.TABLES:
            rows = [row for job in jobs for row in job.rows if row.table is table]
            if rows:
                self._insert(table, [arrow_of(table, rows)], repeated=repeated)
        self._append_events([batch for job in jobs for batch in job.batches])
        for job in jobs:
            if job.swap:
                self.shelf.swap(job.swap)
            if job.write_out:
                self._spill.write_out()
        self._connection.execute("COMMIT")

    def _failed(self, jobs: list[Job], error: Exception) -> None:
        """Undo, and tell the callers, who keep their messages unacknowledged and try again."""
        self._failing = True
        log.error("trail: %s: %s", type(error).__name__, error)
        self._undo()
        if isinstance(error, duckdb.FatalException | duckdb.InternalException):
            self._on_fatal(f"{type(error).__name__}: {error}")
        if len(jobs) == 1:
            jobs[0].done.set_exception(TrailError(f"the trail was not written: {error}"))

    def _undo(self) -> None:
        self._heads.forget()
        try:
            self._connection.execute("ROLLBACK")
        except duckdb.Error as undo:
            log.debug("trail: rollback: %s", undo)
        try:
            self.shelf.load()
            self._spill.load()
        except duckdb.Error as error:
            # DuckDB has given the file up. Whether it was committed the next start finds out, so
            # the files stay.
            log.debug("trail: after the rollback: %s", error)
            return
        self._spill.undo(kept=frozenset(one.file for one in self.shelf.all))

    def _insert(
        self, table: schema.Table, parts: Sequence[pa.Table], *, repeated: bool = True
    ) -> None:
        if not parts:
            return
        self._connection.register("incoming", pa.concat_tables(parts))
        try:
            ignore = " ON CONFLICT DO NOTHING" if table.key and repeated else ""
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
        self._spill.take([batch.data for batch in fresh])
        if fresh:
            self._insert(schema.BATCHES, [_batch_rows(fresh, now)])
        if breaks:
            self._insert(schema.CHAIN_BREAKS, [_break_rows(breaks, now)])


def _tables_of(jobs: Sequence[Job]) -> frozenset[str]:
    """Return the names of the tables that jobs may have changed."""
    names = {row.table.name for job in jobs for row in job.rows}
    if any(job.batches for job in jobs):
        names |= {schema.EVENTS.name, schema.BATCHES.name, schema.CHAIN_BREAKS.name}
    if any(job.batches or job.swap or job.write_out for job in jobs):
        names |= {schema.EVENTS.name, schema.SEGMENTS.name}
    return frozenset(names)


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
        "chain_version",
        "groups",
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

"""Runs one SELECT of a person, once checked: read-only, limited in time, rows and bytes."""

import asyncio
import datetime as dt
import json
import logging
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import duckdb
import msgspec

from collector.errors import Refusal, SqlError, TrailError
from collector.trail.question import check

log = logging.getLogger(__name__)

MOST_ROWS = 10_000
MOST_BYTES = 8 << 20
_CHUNK = 256
_DEEPEST = 100
_AS_THEY_ARE = frozenset({type(None), bool, int, str})
_WAITING = 8
_PATIENCE_S = 5.0
_AGAIN_S = 0.1
_STOPPING = "the collector is stopping"
_GONE = "nobody waits for the answer any more"
_OURS = (
    duckdb.InternalException,
    duckdb.FatalException,
    duckdb.IOException,
    duckdb.ConnectionException,
)


@dataclass(frozen=True, slots=True)
class Result:
    """Rows as JSON can carry them. `truncated`: there were more than rows or bytes allow."""

    columns: tuple[tuple[str, str], ...]
    rows: list[list[Any]]
    truncated: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    sql: str
    limit: int
    done: "Future[Result]"
    gone: threading.Event  # nobody waits for the answer any more


class SqlRunner:
    """A few threads of their own, so that no question of a person delays the collector's work.

    They are daemon threads: an interruption is heard between two steps of a query only, and one
    endless step must not keep the collector from ending.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, *, seconds: float, workers: int
    ) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._seconds = seconds
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._room = workers + _WAITING
        self._running: dict[_Job, duckdb.DuckDBPyConnection] = {}
        self._closing = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"trail-sql-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def close(self, *, patience_s: float = _PATIENCE_S) -> None:
        """Interrupt what runs, and wait for it, but not longer than this in all."""
        with self._lock:
            self._closing = True
            for cursor in self._running.values():
                cursor.interrupt()
        for _ in self._threads:
            self._jobs.put(None)
        until = time.monotonic() + patience_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                log.warning("%s: a query does not heed its interruption; left", thread.name)

    async def run(self, sql: str, limit: int) -> Result:
        """Return the answer; raise SqlError with DuckDB's own words about the query.

        Raise Refusal when too busy, and TrailError for what is not the query's fault.
        """
        if self._room <= 0:
            raise Refusal(
                503, "busy", "too many queries of the trail run already", "try again in a moment"
            )
        self._room -= 1
        job = _Job(sql, limit, Future(), threading.Event())
        self._jobs.put(job)
        work = asyncio.wrap_future(job.done)
        work.add_done_callback(self._free)
        try:
            # An asker who goes away does not free the thread before its time.
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self._forget(job)
            raise

    def _forget(self, job: _Job) -> None:
        """Interrupt the query of a job that nobody waits for."""
        job.gone.set()
        with self._lock:
            cursor = self._running.get(job)
            if cursor is None:
                return
            cursor.interrupt()
        # DuckDB forgets an interruption that comes before the query itself has begun.
        asyncio.get_running_loop().call_later(_AGAIN_S, self._forget, job)

    def _free(self, work: "asyncio.Future[Result]") -> None:
        self._room += 1
        if not work.cancelled():
            work.exception()  # it was told to the asker, if there still is one

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            # On the way to the end of the process nobody may be left to be told.
            if not job.done.set_running_or_notify_cancel():
                continue
            try:
                result = self._work(job)
            except Exception as error:  # noqa: BLE001 - the top of the thread; the asker is told
                job.done.set_exception(error)
            else:
                job.done.set_result(result)

    def _work(self, job: _Job) -> Result:
        with self._lock:
            if self._closing or job.gone.is_set():
                raise SqlError(_STOPPING if self._closing else _GONE)
            cursor = self._connection.cursor()
            self._running[job] = cursor
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()
            cursor.interrupt()

        timer = threading.Timer(self._seconds, stop)
        timer.start()
        try:
            check(cursor, job.sql)
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            return _fetch(cursor, job.sql, job.limit)
        except duckdb.InterruptException as error:
            raise SqlError(
                f"the query took longer than {self._seconds:g} seconds and was stopped"
                if timed_out.is_set()
                else _GONE
                if job.gone.is_set()
                else _STOPPING
            ) from error
        except (duckdb.OutOfMemoryException, MemoryError) as error:
            # DuckDB's words for it are about settings of the server.
            raise SqlError("out of memory: the query needs more than it may have") from error
        except _OURS as error:
            raise TrailError(f"the trail cannot be read: {error}") from error
        except RecursionError as error:
            raise SqlError("the answer is nested too deeply to be shown") from error
        except (duckdb.Error, ValueError, OverflowError) as error:
            raise SqlError(str(error).partition("\n\nStack Trace")[0]) from error
        finally:
            timer.cancel()
            timer.join()
            with self._lock:
                self._running.pop(job, None)
            cursor.close()


def _fetch(cursor: duckdb.DuckDBPyConnection, sql: str, limit: int) -> Result:
    cursor.execute(sql)
    columns = tuple((column[0], str(column[1])) for column in cursor.description or ())
    rows: list[list[Any]] = []
    size = 0
    while chunk := cursor.fetchmany(_CHUNK):
        for values in chunk:
            row = [one if type(one) in _AS_THEY_ARE else jsonable(one) for one in values]
            size += _bytes(row)
            if len(rows) == limit or size > MOST_BYTES:
                return Result(columns, rows, truncated=True)
            rows.append(row)
    return Result(columns, rows, truncated=False)


def _bytes(row: list[Any]) -> int:
    """Return how long a row is as JSON."""
    try:
        return len(msgspec.json.encode(row))
    except (OverflowError, ValueError):  # a number of more than 64 bits
        return len(json.dumps(row))


def jsonable(value: object, depth: int = 0) -> Any:
    """Return a value of DuckDB as JSON can carry it: times as ISO 8601, bytes as hex.

    Raises RecursionError for what is nested deeper than the answer may be.
    """
    if depth > _DEEPEST:
        raise RecursionError
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if value == value and abs(value) != float("inf") else str(value)
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case list() | tuple():
            return [jsonable(item, depth + 1) for item in value]
        case dict():
            return {str(key): jsonable(item, depth + 1) for key, item in value.items()}
    return str(value)

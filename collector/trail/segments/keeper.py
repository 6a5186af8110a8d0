"""The one background thread of the segments: merges, moves, drops, deletes what had its grace.

It only prepares files; that they take the place of others is a transaction of the writer.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import duckdb
import pyarrow as pa

from collector.errors import TrailError
from collector.trail.retention.rounds import Retention
from collector.trail.rows import Row
from collector.trail.segments import files
from collector.trail.segments.merging import HOUR_NS, due, merge
from collector.trail.segments.moving import next_part
from collector.trail.segments.retired import Retired
from collector.trail.segments.shelf import Swap
from collector.trail.writer import Writer

log = logging.getLogger(__name__)

_NICE = 10  # ingest goes first
_AFTER_FAILURE_S = 30.0


class Keeper:
    """Runs from `start` to `close`. Make it before anything is written: see `_orphans`."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        writer: Writer,
        retired: Retired,
        *,
        retention: Retention | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """`retention`: what drops events that are old; None if nothing is ever dropped."""
        self._retention = retention
        self._connection = connection
        self._writer = writer
        self._shelf = writer.shelf
        self._retired = retired
        self._clock = clock
        self._tail_since: int | None = None
        self._changed = threading.Condition()
        self._news = True
        self._closing = False
        self._retired.add(self._orphans())
        self._thread = threading.Thread(target=self._run, name="trail-segments", daemon=True)
        writer.listen(self._heard)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Finish the step that runs, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def step(self) -> bool:
        """Do one thing that is due; return whether there was any. Raise what went wrong."""
        return self._tidy() or self._drop()

    def _tidy(self) -> bool:
        if self._shelf.old:
            self._swap(next_part(self._connection, self._shelf))
            return True
        if self._tail_is_old():
            self._writer.write_out().result()
            return True
        if found := due(self._shelf.all, self._clock()):
            try:
                merged = merge(self._shelf, found)
            except FileNotFoundError as error:
                raise TrailError(f"a segment is missing: {error.filename}") from error
            self._swap(Swap((merged,), tuple(one.file for one in found)))
            return True
        return False

    def _drop(self) -> bool:
        return self._retention is not None and self._retention.step(self._swap)

    def _swap(self, swap: Swap, rows: Sequence[Row] = ()) -> None:
        try:
            self._writer.swap(swap, rows).result()
        except BaseException:
            named = {one.file for one in self._shelf.all}
            for segment in swap.added:
                if segment.file not in named:
                    with suppress(OSError):
                        (self._shelf.directory / segment.file).unlink()
            raise
        self._retired.add(self._shelf.directory / file for file in swap.removed)

    def _tail_is_old(self) -> bool:
        """Whether some event has waited for an hour for enough others to come."""
        if not self._writer.tail_rows:
            self._tail_since = None
            return False
        if self._tail_since is None:
            self._tail_since = self._clock()
        return self._clock() - self._tail_since >= HOUR_NS

    def _orphans(self) -> list[Path]:
        """Return files that no row names: a crash left them, before or after a transaction."""
        named = {one.file for one in self._shelf.all}
        found = [
            path
            for path in self._shelf.directory.glob(f"*{files.ENDING}")
            if path.name not in named
        ]
        for path in found:
            log.warning("trail: %s belongs to no transaction; it will be deleted", path)
        return found

    def _heard(self, tables: frozenset[str]) -> None:
        if "segments" in tables:
            with self._changed:
                self._news = True
                self._changed.notify_all()

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        wait_s: float | None = None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._news, wait_s)
                if self._closing:
                    return
                self._news = False
            wait_s = self._work()

    def _work(self) -> float:
        """Do what is due; return the seconds after which there may be more."""
        # What is old falls also where something cannot be merged.
        if not all([self._done(self._tidy), self._done(self._drop)]):
            return _AFTER_FAILURE_S
        next_s = self._retired.delete_due()
        return min(60.0, max(1.0, next_s)) if next_s is not None else 60.0

    def _done(self, step: Callable[[], bool]) -> bool:
        """Do all that is due of one sort; return whether that went well."""
        try:
            while not self._closing and step():
                pass
        except (TrailError, duckdb.Error, OSError, pa.ArrowException) as error:
            log.error("trail: segments stay as they are for now: %s", error)
            return False
        except Exception:  # the top of the thread: events go on to be kept, in more files
            log.exception("trail: segments stay as they are for now")
            return False
        return True

"""Keeps `views.duckdb` at most a few seconds behind the trail, from a thread of its own."""

import logging
import os
import threading
import time
from pathlib import Path

import duckdb
import pyarrow as pa

from collector.trail import schema
from collector.trail.analysts.exports import Export, write_tail
from collector.trail.analysts.views_file import About, ListedFile, ViewsFile
from collector.trail.segments import files
from collector.trail.segments.retired import Retired
from collector.trail.segments.segment import Segment
from collector.trail.segments.shelf import Shelf
from collector.trail.segments.view import parquet, view_of
from collector.trail.writer import Writer

log = logging.getLogger(__name__)

NAME = "views.duckdb"
ROOT = "exports"
PERIOD_S = 2.0
# How far behind it may be, with room. As long as that allows, publishing rests for four times what
# it has taken, since it is in the way of whoever decides.
_BEHIND_S = 4.5
_REST = 4
_AFTER_FAILURE_S = 5.0
_NICE = 5
_EXPORTED = tuple(table for table in schema.TABLES if table is not schema.EVENTS_TAIL)


def period_s(took_s: float) -> float:
    """Return how long after its begin a publication that took so long is followed by the next."""
    return max(PERIOD_S, min(took_s * (1 + _REST), _BEHIND_S - took_s))


class ViewsPublisher:
    """Runs from `start` to `close`; what was there from an earlier run is replaced at the start."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        writer: Writer,
        retired: Retired,
        *,
        path: Path,
        trail: str,
    ) -> None:
        """`path`: of views.duckdb; the files that it reads beside the segments lie next to it."""
        self._connection = connection
        self._writer = writer
        self._retired = retired
        self._file = ViewsFile(path)
        self._trail = trail
        self._directory = path.parent / ROOT / trail
        self._retired.add(self._directory.glob(f"*{files.ENDING}"))
        self._exports = {one.name: Export(one, self._directory) for one in _EXPORTED}
        self._tail: list[Path] = []
        self._replaced: list[Path] = []  # still in the list that is out
        self._changed = threading.Condition()
        self._news = {*self._exports, schema.EVENTS.name}
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="trail-views", daemon=True)
        writer.listen(self._heard)

    def start(self) -> None:
        """Begin, with all that is there."""
        self._thread.start()

    def close(self) -> None:
        """Finish what runs, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def publish(self, names: frozenset[str]) -> None:
        """Bring the exports of these tables and the file up to one moment of the trail."""
        files.make_directory(self._directory)
        names |= {name for name, export in self._exports.items() if not export.parts}
        since = self._retired.clock()
        made_ns = time.time_ns()
        cursor = self._connection.cursor()
        try:
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            # Everything from one snapshot: a hold and what was said of it are there together.
            segments = Shelf(cursor, self._writer.shelf.directory).all
            for name in names & set(self._exports):
                self._replaced += [part.path for part in self._exports[name].refresh(cursor)]
            if schema.EVENTS.name in names or not self._tail:
                self._replaced += self._tail
                self._tail = [*write_tail(cursor, schema.EVENTS_TAIL, self._directory)]
            version = cursor.execute("SELECT max(version) FROM schema_version").fetchall()[0][0]
            cursor.execute("COMMIT")
        finally:
            cursor.close()
        about = About(self._trail, int(version), made_ns)
        self._file.replace(self._tables(segments), self._listed(segments), about)
        self._retired.add(self._replaced, in_list=False)
        self._replaced.clear()
        self._retired.handed_out(since)

    def _tables(self, segments: tuple[Segment, ...]) -> dict[str, str]:
        """Return the SELECT behind each table's view."""
        tail = [parquet([str(path) for path in self._tail])]
        found = {schema.EVENTS.name: view_of(self._writer.shelf.directory, segments, tail)}
        for name, export in self._exports.items():
            source = parquet([str(part.path) for part in export.parts])
            found[name] = f"SELECT * FROM {source}"  # noqa: S608 - our own paths
        return found

    def _listed(self, segments: tuple[Segment, ...]) -> list[ListedFile]:
        directory = self._writer.shelf.directory
        found = [
            ListedFile("events", str(directory / one.file), one.rows, one.bytes)
            for one in segments
            if one.missing_ns is None
        ]
        found += [ListedFile("events", str(path), *_size(path)) for path in self._tail]
        for name, export in self._exports.items():
            found += [
                ListedFile(name, str(one.path), one.rows, one.path.stat().st_size)
                for one in export.parts
            ]
        return found

    def _heard(self, tables: frozenset[str]) -> None:
        if tables:
            with self._changed:
                self._news |= tables
                self._changed.notify_all()

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._news)
                if self._closing:
                    return
                names, self._news = frozenset(self._news), set()
            begun = time.monotonic()
            try:
                self.publish(names)
                pause = period_s(time.monotonic() - begun)
            except Exception as error:
                if not isinstance(error, duckdb.Error | OSError | pa.ArrowException):
                    log.exception("trail: views")
                log.error("trail: %s stays as it is for now: %s", self._file.path, error)
                pause = _AFTER_FAILURE_S
                with self._changed:
                    self._news |= names
            left = begun + pause - time.monotonic()
            with self._changed:
                self._changed.wait_for(lambda: self._closing, max(0.0, left))


def _size(path: Path) -> tuple[int, int]:
    return files.count(path), path.stat().st_size

"""Which segments the trail has; it keeps the view `events` over them.

Asked and changed only inside transactions of the one writer; `all` may be read by any thread.
"""

import logging
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import duckdb

from collector.trail.segments.segment import Segment
from collector.trail.segments.view import view_of

log = logging.getLogger(__name__)

# Rows of an earlier trail whose events were a table; moved into segments little by little.
OLD = "events_old"


@dataclass(frozen=True, slots=True)
class Moved:
    """The rows of an old table that a segment has taken over: batches of one host, both ends in."""

    host: str
    first_batch: int
    last_batch: int


@dataclass(frozen=True, slots=True)
class Swap:
    """Segments that take the place of others, or of rows of the old table, in one transaction."""

    added: tuple[Segment, ...] = ()
    removed: tuple[str, ...] = ()
    moved: Moved | None = None
    drop_old: bool = False


_NAMES = ", ".join(field.name for field in fields(Segment))


class Shelf:
    """The rows of `segments` in memory, as they are after the transaction that runs."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, directory: Path) -> None:
        self._connection = connection
        self.directory = directory
        self.all: tuple[Segment, ...] = ()
        self.old = False
        self.load()

    def load(self) -> None:
        """Read what is committed: at the start, and after a transaction was undone."""
        rows = self._connection.execute(
            f"SELECT {_NAMES} FROM segments ORDER BY made_ns, file"  # noqa: S608 - fixed text
        ).fetchall()
        self.all = tuple(Segment(*row) for row in rows)
        found = self._connection.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE table_name = ?", [OLD]
        ).fetchone()
        self.old = bool(found and found[0])

    def swap(self, change: Swap) -> None:
        """Bring a change into the transaction that runs."""
        if change.removed:
            self._connection.execute(
                "DELETE FROM segments WHERE file IN (SELECT unnest(?::VARCHAR[]))",
                [list(change.removed)],
            )
        for segment in change.added:
            self._connection.execute(
                f"INSERT INTO segments ({_NAMES}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                [*astuple(segment)],
            )
        if change.moved:
            self._connection.execute(
                f"DELETE FROM {OLD} WHERE host = ? AND batch BETWEEN ? AND ?",  # noqa: S608
                [*astuple(change.moved)],
            )
        if change.drop_old:
            self._connection.execute(f"DROP TABLE {OLD}")
            self.old = False
        gone = frozenset(change.removed)
        self.all = (*(one for one in self.all if one.file not in gone), *change.added)
        self.make_view()

    def make_view(self) -> None:
        """Have `events` show all that is there."""
        tables = ["events_tail", *([OLD] if self.old else [])]
        query = view_of(self.directory, self.all, tables)
        self._connection.execute(f"CREATE OR REPLACE VIEW events AS {query}")

    def look(self) -> None:
        """Find out which files are missing, and which are back; write it down and say it."""
        now = time.time_ns()
        for segment in self.all:
            path = self.directory / segment.file
            try:
                there = path.stat().st_size == segment.bytes
            except OSError:
                there = False
            if not there:
                log.error(
                    "trail: %s is missing or cut: %d events cannot be shown; bring the file back "
                    "from a backup and start again",
                    path,
                    segment.rows,
                )
            if there is (segment.missing_ns is None):
                continue
            self._connection.execute(
                "UPDATE segments SET missing_ns = ? WHERE file = ?",
                [None if there else now, segment.file],
            )
        self.load()

"""From batches to disk: a few events go to the tail in DuckDB, many become a Parquet file at once.

A file costs about 10 ms and a fsync, a row in DuckDB 15 times what it costs in a file: so what
comes in driblets waits in the table, and what comes in floods never sees it.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from collector.trail import schema
from collector.trail.segments import files
from collector.trail.segments.segment import Segment
from collector.trail.segments.shelf import Shelf, Swap

# Events of one transaction that are worth a file of their own.
WORTH_A_FILE = 1_000
# Rows of the tail with which it is written out; it is read by every question about events.
LONGEST_TAIL = 16_000
# Rows of a file that is worth what makes looking into it faster.
_WORTH_SORTING = 50_000


class Spill:
    """Belongs to the writer's thread. What a transaction has written may be undone."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, shelf: Shelf) -> None:
        self._connection = connection
        self._shelf = shelf
        self._written: list[str] = []
        self.tail = 0
        self.load()

    def load(self) -> None:
        """Count what the tail has: at the start, and after a transaction was undone."""
        row = self._connection.execute("SELECT count(*) FROM events_tail").fetchone()
        self.tail = int(row[0]) if row else 0

    def begin(self) -> None:
        """Start a transaction: what was written in the one before is kept."""
        self._written.clear()

    def undo(self, kept: frozenset[str]) -> None:
        """Remove the files of a transaction that was rolled back, but those that rows name."""
        for name in self._written:
            if name not in kept:
                (self._shelf.directory / name).unlink(missing_ok=True)
        self._written.clear()

    def take(self, parts: Sequence[pa.Table]) -> None:
        """Keep events, in the transaction that runs; a file is on disk when this returns."""
        count = sum(part.num_rows for part in parts)
        if not count:
            return
        if count >= WORTH_A_FILE or count + self.tail > LONGEST_TAIL:
            self.write_out(parts)
            return
        self._connection.register("incoming", pa.concat_tables(parts))
        try:
            self._connection.execute("INSERT INTO events_tail BY NAME SELECT * FROM incoming")
        finally:
            self._connection.unregister("incoming")
        self.tail += count

    def write_out(self, parts: Sequence[pa.Table] = ()) -> None:
        """Make the tail a file, together with new events; nothing, if there is neither."""
        if self.tail:
            tail = self._connection.execute("FROM events_tail").to_arrow_table()
            # An earlier row has been there for longer.
            parts = [tail.cast(schema.EVENTS.schema), *parts]
            self._connection.execute("DELETE FROM events_tail")
            self.tail = 0
        if parts:
            self._shelf.swap(Swap(added=(self._file(parts),)))

    def _file(self, parts: Sequence[pa.Table]) -> Segment:
        segment = write_segment(self._shelf.directory, parts, level=0)
        self._written.append(segment.file)
        return segment


def write_segment(directory: Path, parts: Sequence[pa.Table], *, level: int) -> Segment:
    """Write events into a new file, host after host; return the row that will name it.

    In a large one, what was more than observed comes first: see files.apart.
    """
    parts = [files.widened(part, schema.STORED) for part in parts]
    first_ns, last_ns = files.times(parts)
    name = files.new_name(first_ns)
    large = sum(part.num_rows for part in parts) >= _WORTH_SORTING
    marked, others = files.apart(parts) if large else ([], parts)
    size = files.write(
        directory / name, files.by_host(others), first=files.by_host(marked), sought=large
    )
    return Segment(
        file=name,
        rows=sum(part.num_rows for part in parts),
        bytes=size,
        first_ns=first_ns,
        last_ns=last_ns,
        level=level,
        made_ns=time.time_ns(),
        columns=parts[0].num_columns,
    )

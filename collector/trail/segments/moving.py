"""Brings the rows of an earlier trail, whose events were a table, into segments, part by part.

Each part leaves the table in the transaction that names its segment: a kill in between loses
nothing, and shows nothing twice.
"""

import duckdb

from collector.trail import schema
from collector.trail.segments.segment import Segment
from collector.trail.segments.shelf import OLD, Moved, Shelf, Swap
from collector.trail.segments.spill import write_segment

AT_ONCE = 250_000


def next_part(connection: duckdb.DuckDBPyConnection, shelf: Shelf) -> Swap:
    """Return the swap for the next part, its file written; the last one drops the table."""
    cursor = connection.cursor()
    try:
        row = cursor.execute(f"SELECT min(host) FROM {OLD}").fetchone()  # noqa: S608
        if row is None or row[0] is None:
            return Swap(drop_old=True)
        moved = _batches(cursor, row[0])
        names = ", ".join(f'"{name}"' for name in schema.EVENTS.schema.names)
        rows = cursor.execute(
            f"SELECT {names} FROM {OLD} WHERE host = ? AND batch BETWEEN ? AND ?"  # noqa: S608
            " ORDER BY batch, number",
            [moved.host, moved.first_batch, moved.last_batch],
        ).to_arrow_table()
    finally:
        cursor.close()
    segment: Segment = write_segment(shelf.directory, [rows.cast(schema.EVENTS.schema)], level=1)
    return Swap(added=(segment,), moved=moved)


def _batches(cursor: duckdb.DuckDBPyConnection, host: str) -> Moved:
    """Return the first batches of a host, whole ones, with up to AT_ONCE events in all."""
    first, last, _ = cursor.execute(
        f"WITH sizes AS (SELECT batch, sum(count(*)) OVER (ORDER BY batch) AS upto"  # noqa: S608
        f"               FROM {OLD} WHERE host = ? GROUP BY batch)"
        " SELECT min(batch), max(batch), count(*) FROM sizes"
        " WHERE upto <= greatest(?, (SELECT min(upto) FROM sizes))",
        [host, AT_ONCE],
    ).fetchall()[0]
    return Moved(host, int(first), int(last))

"""Running digests over the rows of a table, in the order in which they came.

Each row's own digest goes into that of the rows before it, so a table can be taken up again from
the count and the digest alone. Events are not in here: they have the chain of their host.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from collector.proof.checkpoint import MARK, TableState
from collector.trail.schema import TABLES
from wire.chain import NOTHING_BEFORE

# What is proven otherwise, or is about files that come and go.
_OTHERWISE = frozenset({"events", "events_tail", "checkpoints", "segments"})
PROVEN: tuple[str, ...] = tuple(one.name for one in TABLES if one.name not in _OTHERWISE)
_MOST_MARKS = 500
_CHUNK = 2000


def row_digest(table: str, names: Sequence[str], values: Sequence[Any]) -> bytes:
    """Return the digest of a row over the names and values of its columns."""
    row = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in zip(names, values, strict=True)
    }
    text = json.dumps(
        ["holdfast row 1", table, row], ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )
    return hashlib.sha256(text.encode()).digest()


@dataclass(slots=True)
class Running:
    """The digest over the first `rows` rows."""

    rows: int = 0
    digest: str = NOTHING_BEFORE

    def take(self, row: bytes) -> None:
        """Go on by one row, of which this is the digest."""
        self.digest = hashlib.sha256(bytes.fromhex(self.digest) + row).hexdigest()
        self.rows += 1


def columns_of(cursor: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """Return the names of a table's columns, in their order; later ones come last."""
    return [row[0] for row in cursor.execute(f'DESCRIBE "{table}"').fetchall()]


def state_of(
    cursor: duckdb.DuckDBPyConnection, table: str, before: TableState | None
) -> TableState:
    """Return a table as it is now; only rows that came after `before` are read.

    If the table has got more columns since, all of it is read once: they count from then on.
    """
    names = columns_of(cursor, table)
    if before is None or before.columns != len(names):
        before = TableState(table, len(names), 0)
    running = Running(before.rows, before.digest)
    marks: list[str] = []
    for values in rows_from(cursor, table, names, before.rows):
        row = row_digest(table, names, values)
        running.take(row)
        if len(marks) <= _MOST_MARKS:
            marks.append(row.hex()[:MARK])
    told = "".join(marks) if len(marks) <= _MOST_MARKS else ""
    return TableState(table, len(names), running.rows, running.digest, told)


def rows_from(
    cursor: duckdb.DuckDBPyConnection, table: str, names: Sequence[str], start: int
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows from the `start`-th (of 0) on, in the order in which they came."""
    found = cursor.execute(f'SELECT count(*), max(rowid) FROM "{table}"').fetchone()  # noqa: S608
    count, last = found or (0, None)
    if count <= start:
        return
    columns = ", ".join(f'"{name}"' for name in names)
    # Where no number of a row is unused, the rows before need not be gone through.
    where = f"WHERE rowid >= {start}" if last == count - 1 else ""
    skip = "" if where else f"OFFSET {start}"
    cursor.execute(f'SELECT {columns} FROM "{table}" {where} ORDER BY rowid {skip}')  # noqa: S608
    while chunk := cursor.fetchmany(_CHUNK):
        yield from chunk

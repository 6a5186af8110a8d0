"""The tables of the trail as Parquet files, written on from where the last look ended.

Rows are only ever added to most tables, so what was written stays right. Small files become larger
ones: each row is written about as often as the table has doubled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from collector.trail.schema import Table
from collector.trail.segments import files
from wire.ids import new_id

_LARGEST = 500_000  # rows of a file
_ROW_GROUP = 16_384  # rows come in the order of their times, so that a day is in few of them


@dataclass(frozen=True, slots=True)
class Part:
    """A file with the rows from rowid `first` to before `end`."""

    path: Path
    first: int
    end: int
    rows: int


class Export:
    """The files of one table."""

    def __init__(self, table: Table, directory: Path) -> None:
        self._table = table
        self._directory = directory
        self.parts: tuple[Part, ...] = ()

    def refresh(self, cursor: duckdb.DuckDBPyConnection) -> tuple[Part, ...]:
        """Write what is new, inside the caller's transaction; return the parts that it replaces."""
        before = self.parts
        kept = list(before)
        end = kept[-1].end if kept else 0
        count, top, fresh = self._count(cursor, end)
        if before and (count, top) == (sum(one.rows for one in kept), end):
            return ()
        if count != sum(one.rows for one in kept) + fresh:  # rows went: nothing written is right
            kept, end, fresh = [], 0, count
        rows = fresh
        while kept and kept[-1].rows <= 2 * rows and kept[-1].rows + rows <= _LARGEST:
            last = kept.pop()
            end, rows = last.first, rows + last.rows
        made = self._write(cursor, end, top)
        self.parts = (*kept, *made)
        return tuple(one for one in before if one not in kept)

    def _count(self, cursor: duckdb.DuckDBPyConnection, end: int) -> tuple[int, int, int]:
        count, top, fresh = cursor.execute(
            "SELECT count(*), coalesce(max(rowid) + 1, 0), count(*) FILTER (rowid >= ?)"  # noqa: S608
            f" FROM {self._table.name}",
            [end],
        ).fetchall()[0]
        return int(count), int(top), int(fresh)

    def _write(self, cursor: duckdb.DuckDBPyConnection, first: int, top: int) -> list[Part]:
        made: list[Part] = []
        try:
            self._write_parts(cursor, first, top, made)
        except BaseException:
            for part in made:
                part.path.unlink(missing_ok=True)
            raise
        return made

    def _write_parts(
        self, cursor: duckdb.DuckDBPyConnection, first: int, top: int, made: list[Part]
    ) -> None:
        names = ", ".join(f'"{name}"' for name in self._table.schema.names)
        while first < top or not made:
            end = min(top, first + _LARGEST)
            rows = cursor.execute(
                f"SELECT {names} FROM {self._table.name}"  # noqa: S608 - our own names
                " WHERE rowid >= ? AND rowid < ? ORDER BY rowid",
                [first, end],
            ).to_arrow_table()
            path = self._directory / f"{self._table.name}-{new_id()[:12]}{files.ENDING}"
            files.write(path, [rows.cast(self._table.schema)], row_group=_ROW_GROUP, durable=False)
            made.append(Part(path, first, end, rows.num_rows))
            first = end


def write_tail(cursor: duckdb.DuckDBPyConnection, table: Table, directory: Path) -> Sequence[Path]:
    """Write what is in no segment yet, inside the caller's transaction; an empty file if nothing.

    So the view of the events has a file also while there is no event.
    """
    rows = cursor.execute(f"FROM {table.name}").to_arrow_table()
    path = directory / f"events-tail-{new_id()[:12]}{files.ENDING}"
    files.write(path, files.by_host([rows.cast(table.schema)]) or [rows], durable=False)
    return [path]

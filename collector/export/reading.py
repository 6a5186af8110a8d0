"""Reads records of one table for whoever exports them: in order, batch by batch, when asked.

However much there is, no more than a slice of events is sorted at a time, and no more than a batch
is in memory.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from collector.errors import Refusal, SqlError, TrailError
from collector.export.slices import Group, Span, slices
from collector.export.sources import EVENTS, Source
from collector.export.where import check_condition

ROWS = 10_000
_ENDED = "the export was ended"
_GROUPS = """
SELECT min(step), max(step), sum(events)::BIGINT
FROM (SELECT step, events, sum(events) OVER (ORDER BY step) AS so_far
      FROM (SELECT floor(time_ns::HUGEINT / ?)::BIGINT AS step, count(*) AS events
            FROM events WHERE time_ns >= ? AND time_ns < ? GROUP BY step))
GROUP BY so_far // ? ORDER BY 1
"""
_OURS = (
    duckdb.InternalException,
    duckdb.FatalException,
    duckdb.IOException,
    duckdb.ConnectionException,
)
_ALL: Span = (-(2**63), 2**63 - 1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records: times in nanoseconds since the epoch, `until_ns` not included.

    `after` is the id of the last one that came; `where` a condition on the columns.
    """

    source: Source
    since_ns: int | None = None
    until_ns: int | None = None
    after: str | None = None
    where: str | None = None


class Reading:
    """One pass. `batches` is for one thread at a time; `cancel` and `close` for any."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, wanted: Wanted) -> None:
        """Take over the cursor; raise SqlError or Refusal for what cannot be read so."""
        self._cursor = cursor
        self._wanted = wanted
        self._cancelled = threading.Event()
        source = wanted.source
        self._from = f'"{source.name}"'
        if wanted.where is not None:
            check_condition(cursor, source.name, wanted.where)
            self._from = f"(SELECT * FROM {self._from} WHERE (\n{wanted.where}\n))"  # noqa: S608
        self._after = None if wanted.after is None else self._place(wanted.after)

    def schema(self) -> pa.Schema:
        """Return the columns of each batch: the id, then those of the table."""
        return self._read("false", []).schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the records, sorted by time and key; raise SqlError or TrailError.

        What is recorded meanwhile with a time that has been passed already does not come.
        """
        for span in self._spans():
            where, values = self._within(span)
            try:
                yield from self._read(where, values)
            except (duckdb.Error, pa.ArrowException, OSError) as error:
                raise _read_error(error, asked=self._wanted.where is not None) from error

    def cancel(self) -> None:
        """End it, from another thread."""
        self._cancelled.set()
        self._cursor.interrupt()

    def close(self) -> None:
        """Let go of the cursor."""
        self._cursor.close()

    def _spans(self) -> Iterator[Span]:
        wanted = self._wanted
        first = _ALL[0] if wanted.since_ns is None else wanted.since_ns
        if self._after is not None:
            first = max(first, self._after[0])
        span = (first, _ALL[1] if wanted.until_ns is None else wanted.until_ns)
        if wanted.source is EVENTS:
            yield from slices(self._count, span)
        else:
            yield span

    def _count(self, step: int, span: Span, most: int) -> list[Group]:
        self._execute(_GROUPS, [step, *span, most])
        return [(int(a), int(b), int(events)) for a, b, events in self._cursor.fetchall()]

    def _within(self, span: Span) -> tuple[str, list[object]]:
        source = self._wanted.source
        text, values = f'"{source.time}" >= ? AND "{source.time}" < ?', list[object](span)
        if self._after is not None:
            marks = ", ".join("?" * len(self._after))
            text += f" AND ({source.order_sql}) > ({marks})"
            values += self._after
        return text, values

    def _read(self, where: str, values: list[object]) -> pa.RecordBatchReader:
        source = self._wanted.source
        self._execute(
            # `when` says again what time_ns says, and is for those who ask.
            f"SELECT {source.id_sql} AS id, COLUMNS(one -> one != 'when')"  # noqa: S608 - ours
            f" FROM {self._from}"
            f" WHERE {where} ORDER BY {source.order_sql}",
            values,
        )
        return self._cursor.to_arrow_reader(ROWS)

    def _place(self, record: str) -> list[Any]:
        """Return time and key of a record; raise Refusal if the trail does not have it."""
        source = self._wanted.source
        key = source.key_of(record)
        same = " AND ".join(f'"{name}" = ?' for name in source.key)
        self._execute(
            f'SELECT "{source.time}" FROM "{source.name}" WHERE {same} LIMIT 1',  # noqa: S608
            list(key),
        )
        row = self._cursor.fetchone()
        if row is None:
            raise Refusal(
                422,
                "validation",
                f"after: the trail has no record {record[:100]!r}",
                "give the id of the last record that came, or another time to begin at",
            )
        return [row[0], *key]

    def _execute(self, sql: str, values: list[object]) -> None:
        if self._cancelled.is_set():
            raise SqlError(_ENDED)
        try:
            self._cursor.execute(sql, values)
        except duckdb.Error as error:
            raise _read_error(error, asked=self._wanted.where is not None) from error


def _read_error(error: Exception, *, asked: bool) -> SqlError | TrailError:
    """Return what DuckDB's failure means, also behind Arrow; `asked`: there is a condition."""
    words = str(error).partition("\n\n")[0]
    if isinstance(error, duckdb.InterruptException) or "INTERRUPT" in words:
        return SqlError(_ENDED)
    if asked and not isinstance(error, _OURS) and not words.startswith("IO Error"):
        return SqlError(f"where: {words}")
    return TrailError(f"the trail cannot be read: {error}")

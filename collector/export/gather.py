"""What a continuous export sends next: found in the trail by what its place does not cover yet.

Events are told apart by their numbers on their hosts, so that no batch that comes late is missed;
rows of other tables by when they were received, with some slack. For one thread.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from collector.errors import TrailError
from collector.export.position import SLACK_NS, Positions, Sending, uncovered
from collector.export.settings import Beginning, Export
from collector.export.sources import EVENTS, SOURCES, Source

# Now and then all batches are looked at, whatever the clocks have done meanwhile.
_LOOK_AT_ALL_S = 3600.0
_MOST_STRETCHES = 1000
_IDS = pa.schema([("id", pa.string())])
_STRETCHES = pa.schema([("host", pa.string()), ("first", pa.int64()), ("last", pa.int64())])
_BATCHES = """
SELECT host, first, first + count - 1, received_ns FROM batches b
WHERE received_ns >= ? AND count > 0 AND NOT EXISTS (
  SELECT 1 FROM export_taken t
  WHERE t.host = b.host AND b.first >= t.first AND b.first + b.count - 1 <= t.last)
ORDER BY received_ns, host, first LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Events of one host that have not been taken."""

    host: str
    first: int
    last: int
    received_ns: int


class Gatherer:
    """Plans what is sent, and reads it. Raises TrailError and StateError."""

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, positions: Positions, settings: Export
    ) -> None:
        self._cursor = cursor
        self._positions = positions
        self._settings = settings
        self._sources = [SOURCES[name] for name in settings.what if name in SOURCES]
        self._stretches: deque[_Stretch] = deque()
        self._floor_ns = 0
        self._looked = time.monotonic()

    def begin(self) -> None:
        """Have an export that never ran begin where it is told to."""
        name = self._settings.name
        if self._positions.known(name):
            return
        if self._settings.start is Beginning.BEGINNING:
            self._positions.begin(name, {}, {})
            return
        rows = self._rows("SELECT host, max(first + count - 1) FROM batches GROUP BY host")
        others = [source for source in SOURCES.values() if source is not EVENTS]
        seen = {source.name: self._newest(source) for source in others}
        self._positions.begin(name, dict(rows), seen)

    def next(self, most: int) -> tuple[Sending, int] | None:
        """Return what is sent next, kept on disk, and when the oldest of it was received.

        None: everything has been taken.
        """
        sending = self._positions.sending(self._settings.name)
        if sending is not None:
            return sending, self._received(sending)
        for source in self._sources:
            if source is not EVENTS and (ids := self._fresh(source, most)):
                made = self._plan(source, len(ids), ids=ids)
                return made, min(ids.values())
        if EVENTS not in self._sources:
            return None
        return self._next_events(most)

    def rows(self, sending: Sending) -> list[tuple[int, dict[str, Any]]]:
        """Return the rows with their numbers, in order; what retention has dropped is missing."""
        source = SOURCES[sending.source]
        # `when` says again what time_ns says, and is for those who ask.
        columns = "COLUMNS(one -> one != 'when')"
        head = f'SELECT {source.id_sql} AS id, {columns} FROM "{source.name}"'  # noqa: S608 - ours
        if sending.host:
            found = self._dicts(
                f"{head} WHERE host = ? AND number BETWEEN ? AND ? ORDER BY number",
                [sending.host, sending.first, sending.last],
            )
            return [(sending.number + row["number"] - sending.first, row) for row in found]
        received = sending.ids.values()
        found = self._dicts(
            f"SELECT * FROM ({head} WHERE received_ns BETWEEN ? AND ?)"  # noqa: S608 - ours
            " WHERE id IN (SELECT unnest(?))",
            [min(received, default=0), max(received, default=0), list(sending.ids)],
        )
        by_id = {row["id"]: row for row in found}
        numbered = enumerate(sending.ids, sending.number)
        return [(number, by_id[record]) for number, record in numbered if record in by_id]

    def _received(self, sending: Sending) -> int:
        """Return when the oldest of what was on its way was received."""
        if not sending.host:
            return min(sending.ids.values(), default=time.time_ns())
        rows = self._rows(
            "SELECT min(received_ns) FROM batches"
            " WHERE host = ? AND first <= ? AND first + count > ?",
            *(sending.host, sending.last, sending.first),
        )
        return rows[0][0] or time.time_ns()

    def _next_events(self, most: int) -> tuple[Sending, int] | None:
        if not self._stretches:
            self._look()
        if not self._stretches:
            return None
        stretch = self._stretches.popleft()
        last = min(stretch.last, stretch.first + most - 1)
        if last < stretch.last:
            rest = _Stretch(stretch.host, last + 1, stretch.last, stretch.received_ns)
            self._stretches.appendleft(rest)
        made = self._plan(
            EVENTS, last - stretch.first + 1, host=stretch.host, first=stretch.first, last=last
        )
        return made, stretch.received_ns

    def forget(self) -> None:
        """Look at the trail again: what was planned is cut otherwise."""
        self._positions.drop(self._settings.name)
        self._stretches.clear()
        self._floor_ns = 0

    def _plan(self, source: Source, count: int, **what: Any) -> Sending:
        return self._positions.plan(self._settings.name, source.name, count, **what)

    def _look(self) -> None:
        """Find events that have not been taken."""
        if time.monotonic() - self._looked > _LOOK_AT_ALL_S:
            self._floor_ns, self._looked = 0, time.monotonic()
        taken = self._positions.taken(self._settings.name)
        table = pa.Table.from_pylist(
            [
                {"host": host, "first": first, "last": last}
                for host, ranges in taken.items()
                for first, last in ranges
            ],
            schema=_STRETCHES,
        )
        newest = self._rows("SELECT coalesce(max(received_ns), 0) FROM batches")[0][0]
        found = self._with("export_taken", table, _BATCHES, [self._floor_ns, _MOST_STRETCHES])
        received = {(host, first): at_ns for host, first, _, at_ns in found}
        at_ns = 0
        for host, first, last in uncovered([row[:3] for row in found], taken):
            at_ns = received.get((host, first), at_ns)
            before = self._stretches[-1] if self._stretches else None
            if before is not None and before.host == host and before.last + 1 == first:
                joined = _Stretch(host, before.first, last, before.received_ns)
                self._stretches[-1] = joined
            else:
                self._stretches.append(_Stretch(host, first, last, at_ns))
        if len(found) < _MOST_STRETCHES:
            self._floor_ns = newest - SLACK_NS

    def _fresh(self, source: Source, most: int) -> dict[str, int]:
        """Return ids of rows that have not been taken, oldest first, with when they came in."""
        received_ns, recent = self._positions.seen(self._settings.name, source.name)
        known = pa.Table.from_pylist([{"id": one} for one in recent], schema=_IDS)
        rows = self._with(
            "export_recent",
            known,
            f"SELECT * FROM (SELECT {source.id_sql} AS id, received_ns"  # noqa: S608 - ours
            f' FROM "{source.name}" WHERE received_ns >= ?)'
            " WHERE id NOT IN (SELECT id FROM export_recent) ORDER BY received_ns, id LIMIT ?",
            [received_ns - SLACK_NS, most],
        )
        return dict(rows)

    def _newest(self, source: Source) -> tuple[int, Mapping[str, int]]:
        newest = self._rows(f'SELECT coalesce(max(received_ns), 0) FROM "{source.name}"')[0][0]  # noqa: S608
        rows = self._rows(
            f'SELECT {source.id_sql}, received_ns FROM "{source.name}" WHERE received_ns >= ?',  # noqa: S608
            newest - SLACK_NS,
        )
        return newest, dict(rows)

    def _with(self, name: str, table: pa.Table, sql: str, values: list[Any]) -> list[Any]:
        """Return the rows of a query that has a table of ours beside those of the trail."""
        try:
            self._cursor.register(name, table)
            return self._cursor.execute(sql, values).fetchall()
        except duckdb.Error as error:
            raise TrailError(f"the trail cannot be read: {error}") from error
        finally:
            self._cursor.unregister(name)

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        try:
            return self._cursor.execute(sql, list(values)).fetchall()
        except duckdb.Error as error:
            raise TrailError(f"the trail cannot be read: {error}") from error

    def _dicts(self, sql: str, values: list[Any]) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = (
                self._cursor.execute(sql, values).to_arrow_table().to_pylist()
            )
        except (duckdb.Error, pa.ArrowException) as error:
            raise TrailError(f"the trail cannot be read: {error}") from error
        return found

"""What of one file falls, group by group, worked out by DuckDB; and the file without it.

A group is the events of one kind in one batch. Where a batch's events cannot be told apart by kind
(of an agent from before chain 2, or two batches under one number), it falls as a whole or not at
all. A group with an event of a hold that is open stays.
"""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa

from collector.trail.retention.choice import HOUR_NS, Contents, Cut, Part, Reason
from collector.trail.segments import files
from collector.trail.segments.view import parquet

# As the reader finds requests that are not finished.
_OPEN = """
SELECT hold FROM holds h WHERE NOT EXISTS (
  SELECT 1 FROM hold_states s WHERE s.hold = h.hold
  AND s.state IN ('released', 'killed', 'refused', 'cancelled', 'superseded'))
AND NOT (h.kind = 'ask' AND EXISTS (SELECT 1 FROM decisions d WHERE d.request = h.request))
"""
_CONTENTS = f"""
SELECT e.kind, b.received_ns // {HOUR_NS} AS hour, sum(e.rows)::BIGINT
FROM (SELECT host, batch, kind, count(*) AS rows FROM $file GROUP BY ALL) e
JOIN (SELECT host, sequence, max(received_ns) AS received_ns FROM batches GROUP BY ALL) b
  ON b.host = e.host AND b.sequence = e.batch
GROUP BY ALL ORDER BY ALL
"""  # noqa: S608 - fixed text
_GROUPS = f"""
CREATE TEMP TABLE falling_groups AS
WITH here AS (
  SELECT host, batch, kind, count(*) AS rows, min(time_ns) AS first_ns, max(time_ns) AS last_ns,
         coalesce(bool_or(hold IN ({_OPEN})), false) AS held
  FROM $file GROUP BY ALL
), known AS (
  SELECT host, sequence AS batch, max(received_ns) AS received_ns,
         count(*) = 1 AND min(chain_version) = 2 AS parted
  FROM batches WHERE host IN (SELECT DISTINCT host FROM here) GROUP BY ALL
), judged AS (
  SELECT h.*, k.parted, CASE WHEN k.parted THEN h.kind ELSE '' END AS part, c.kept_ns,
         k.received_ns // {HOUR_NS} < c.before_hour AS due
  FROM here h JOIN known k USING (host, batch) JOIN falling_kinds c USING (kind)
)
SELECT host, batch, part AS kind, sum(rows)::BIGINT AS rows, min(first_ns) AS first_ns,
       max(last_ns) AS last_ns, max(kept_ns) AS kept_ns,
       bool_and(due) AND NOT bool_or(held) AS falls, bool_and(due) AND bool_or(held) AS held
FROM judged GROUP BY ALL
"""  # noqa: S608 - fixed text
# A range of batches ends where a batch is missing, where one has events of the kind that are not
# dropped with these, and where one is dropped in the other way: as a whole, or by kind.
_RANGES = """
WITH falling AS (
  SELECT * FROM falling_groups WHERE falls
), spans AS (
  SELECT host, min(batch) AS low, max(batch) AS high FROM falling GROUP BY host
), near AS (
  SELECT b.host, b.sequence AS batch, count(*) = 1 AND min(b.chain_version) = 2 AS parted,
         any_value(b.groups) AS groups,
         lag(b.sequence) OVER (PARTITION BY b.host ORDER BY b.sequence) AS before
  FROM batches b JOIN spans s ON b.host = s.host AND b.sequence BETWEEN s.low AND s.high
  GROUP BY b.host, b.sequence
), parts AS (
  SELECT host, batch, unnest(CASE WHEN parted
           THEN json_extract_string(groups, '$[*][0]') ELSE [''] END) AS kind
  FROM near
), ends AS (
  SELECT DISTINCT n.host, f.kind, n.batch
  FROM near n JOIN (SELECT DISTINCT host, kind FROM falling) f ON f.host = n.host
  WHERE n.before + 1 < n.batch OR n.parted = (f.kind = '')
  UNION
  SELECT host, kind, batch FROM parts ANTI JOIN falling USING (host, kind, batch)
)
SELECT f.host, f.kind, min(f.batch), max(f.batch), sum(f.rows)::BIGINT, min(f.first_ns),
       max(f.last_ns), min(f.kept_ns)
FROM falling f ASOF LEFT JOIN ends e
  ON e.host = f.host AND e.kind = f.kind AND f.batch >= e.batch
GROUP BY f.host, f.kind, e.batch ORDER BY 1, 2, 3
"""
# Each join by equal values alone: by anything else, every row is compared with every group.
_STAYS = """
SELECT g.batch IS NULL AND w.batch IS NULL AS stays
FROM $file e
LEFT JOIN (SELECT * FROM falling_groups WHERE falls) g
  ON g.host = e.host AND g.batch = e.batch AND g.kind = e.kind
LEFT JOIN (SELECT * FROM falling_groups WHERE falls AND kind = '') w
  ON w.host = e.host AND w.batch = e.batch
ORDER BY e.file_row_number
"""


@dataclass(frozen=True, slots=True)
class Range:
    """The events of one kind ("": all) in batches of a host, both ends in, that fall together."""

    host: str
    kind: str
    first_batch: int
    last_batch: int
    events: int
    first_ns: int
    last_ns: int
    kept_ns: int


def contents_of(cursor: duckdb.DuckDBPyConnection, path: Path) -> tuple[Part, ...]:
    """Return what a file has of each kind and hour; raise duckdb.Error."""
    rows = cursor.execute(_with(_CONTENTS, path)).fetchall()
    return tuple(Part(str(kind), int(hour), int(count)) for kind, hour, count in rows)


class Falling:
    """What falls from one file for one reason, in tables of its own while it is looked at.

    Raises duckdb.Error, and what pyarrow raises, where the file cannot be read.
    """

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        path: Path,
        cut: Cut,
        contents: Contents,
        reason: Reason,
    ) -> None:
        self._cursor = cursor
        self._path = path
        self._kinds = _kinds(cut, contents, reason)

    def __enter__(self) -> Self:
        self._cursor.register("falling_kinds", self._kinds)
        try:
            self._cursor.execute(_with(_GROUPS, self._path))
        except BaseException:
            self._cursor.unregister("falling_kinds")
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cursor.execute("DROP TABLE IF EXISTS temp.falling_groups")
        self._cursor.unregister("falling_kinds")

    def ranges(self) -> list[Range]:
        """Return all that falls; nothing if something holds it back."""
        return [Range(*row) for row in self._cursor.execute(_RANGES).fetchall()]

    def held(self) -> int:
        """Return how many events stay that would fall, but for a hold that is open."""
        found = self._cursor.execute(
            "SELECT coalesce(sum(rows), 0)::BIGINT FROM falling_groups WHERE held"
        ).fetchall()
        return int(found[0][0])

    def what_stays(self) -> pa.Table | None:
        """Return the rows of the file that stay, in their order; None: none do."""
        sql = _with(_STAYS, self._path, numbered=True)
        stays = self._cursor.execute(sql).to_arrow_table()["stays"].combine_chunks()
        if not stays.true_count:
            return None
        return files.read(self._path).filter(stays)


def _kinds(cut: Cut, contents: Contents, reason: Reason) -> pa.Table:
    """Return before which hour each kind falls for a reason, and how long it was to be kept."""
    found: list[dict[str, object]] = []
    for kind in sorted({part.kind for part in contents.parts}):
        before = cut.before(kind, reason)
        kept_ns = cut.kept_hours(kind, reason) * HOUR_NS
        found.append({"kind": kind, "before_hour": before, "kept_ns": kept_ns})
    return pa.Table.from_pylist(found, schema=_KINDS)


_KINDS = pa.schema([("kind", pa.string()), ("before_hour", pa.int64()), ("kept_ns", pa.int64())])


def _with(sql: str, path: Path, *, numbered: bool = False) -> str:
    source = parquet([str(path)])
    if numbered:
        source = source[:-1] + ", file_row_number = true)"
    return sql.replace("$file", source)

"""Events of realistic shape, as many as wanted: what twenty hosts see of AI services in a month.

Everything follows from the number of an event, so that a run can be repeated. The shape is that of
a coding agent at work: a tool runs and makes some hundred acts within a fifth of a second, one
batch; then the model thinks. It opens far more than it runs, comes back to the same files and
programs (a few of them nearly always), works by day, and now and then touches what nobody has. Some
hosts have four times as much to do as others. One act in two thousand is held.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from collector.trail import schema

HOSTS = 20
BEGIN_NS = 1_777_593_600 * 10**9  # 1 May 2026
DAYS = 30
DAY_NS = 86_400 * 10**9
BATCH = 250  # what an agent gathers while a tool works: 0.2 s
SESSION = 20_000  # acts
HELD = 2_000  # one act in so many is held
# Rows of a sealed segment of the collector.
SEGMENT = 500_000

_PROGRAMS = ("git", "python3", "bash", "make", "gcc", "node", "sed", "cat", "grep", "rg", "ls",
             "curl", "pytest", "cargo", "find", "rm")  # fmt: skip
# Where a column has few values, the query gives their places here.
_POOLS: dict[str, tuple[str, ...]] = {
    "kind": ("open", "exec", "connect", "send", "create", "delete", "rename", "notice", "gap"),
    "subject": ("ai-coder", "ai-ops", "ai-data"),
    "program": (*_PROGRAMS, *(f"/usr/bin/{name}" for name in _PROGRAMS)),
    "flags": ("read", "read,cloexec", "write,create", "append"),
    "transport": ("tcp", "udp"),
    "guarantee": ("held", "stopped", "late"),
    "action": ("observe", "ask", "deny"),
    "rule": tuple(f"pack.rule-{number}" for number in range(30)),
    "operation": ("file", "directory"),
    "detail": ("rules: read again", "ring: full"),
}

# f(r, k): the k-th of several fractions out of one random number; few(u, n): a place among n, the
# first of which are taken far more often, as words in a text are.
MACROS = f"""
CREATE MACRO batch_size() AS {BATCH};
CREATE MACRO held_every() AS {HELD};
CREATE MACRO draw(host, i, salt) AS hash(host * 1000000007 + i * 31 + salt);
CREATE MACRO f(r, k) AS ((r >> (k * 16)) & 65535) / 65536.0;
CREATE MACRO few(u, n) AS floor(n * u * u * u * u)::BIGINT;
-- The moment at which a part (0 to 1) of all work is done: four fifths of it in eleven hours a day.
CREATE MACRO within_day(p) AS CASE WHEN p < 0.08 THEN p / 0.08 * 8
     WHEN p < 0.88 THEN 8 + (p - 0.08) / 0.8 * 11 ELSE 19 + (p - 0.88) / 0.12 * 5 END;
CREATE MACRO moment(p) AS {BEGIN_NS} + floor(p * {DAYS})::BIGINT * {DAY_NS}
     + floor(within_day(p * {DAYS} - floor(p * {DAYS})) * 3600e9)::BIGINT;
CREATE MACRO tool_name(place) AS list_extract({list(_PROGRAMS)}, place + 1);
CREATE MACRO host_id(host) AS printf('%032x', host + 1);
CREATE MACRO hold_id(host, i) AS md5(host || '-' || i);
CREATE MACRO session_id(host, i) AS
     (1000 + i // {SESSION} % 30000) || '-' || (500000 + (i // {SESSION}) * 977 + host * 100003);
"""

# The acts of a burst are in one of 400 projects.
EVENTS = """
WITH drawn AS (
  SELECT *, draw(host, i, 1) AS r, draw(host, i, 2) AS s, draw(host, i // batch_size(), 3) AS burst
  FROM (SELECT host, each, unnest(range(first, last)) AS i FROM spans)
), kinds AS (
  SELECT *, f(r, 0) + f(s, 0) / 65536 AS u, few(f(burst, 0), 400) AS work,
         i % held_every() = (host * 37 + 5) % held_every() AS held
  FROM drawn
), shaped AS (
  SELECT *, CASE WHEN held THEN 1 WHEN u < 0.66 THEN 0 WHEN u < 0.80 THEN 1 WHEN u < 0.88 THEN 2
                 WHEN u < 0.90 THEN 3 WHEN u < 0.95 THEN 4 WHEN u < 0.97 THEN 5
                 WHEN u < 0.9995 THEN 6 WHEN u < 0.99999 THEN 7 ELSE 8 END AS k,
         few(f(r, 1), 60) AS module, few(f(r, 2), 16)::INT AS tool
  FROM kinds
), marked AS (
  SELECT *, k < 7 AS act, k IN (0, 4, 5, 6) AS file, k IN (2, 3) AS net,
         NOT held AND k < 3 AND f(s, 1) < 0.0004 AS denied, host_id(host) AS id
  FROM shaped
)
SELECT id AS host, i + 1 AS number, i // batch_size() + 1 AS batch,
       moment((i // batch_size() + f(burst, 1) * 0.9) / (each / batch_size()))
         + (i % batch_size()) * 800000 + (f(s, 2) * 700000)::BIGINT + (s & 1023)::BIGINT AS time_ns,
       k::INT AS kind, CASE WHEN act THEN (work % 3)::INT END AS subject,
       CASE WHEN act THEN session_id(host, i) END AS session,
       CASE WHEN act THEN 2000 + (i // 8 + burst % 512) % 60000 END::BIGINT AS pid,
       CASE WHEN act THEN 2000 + (i // 8 + burst % 512) % 60000 + (f(s, 3) < 0.05)::INT
       END::BIGINT AS tid,
       CASE WHEN act THEN 1001 + work % 3 END AS uid, CASE WHEN act THEN 1001 + work % 3 END AS gid,
       NULL::BIGINT AS login_uid,
       CASE WHEN NOT act THEN NULL WHEN k = 1 THEN tool + 16 ELSE few(f(burst, 2), 16)::INT END
         AS program,
       CASE WHEN k = 1 THEN [
         tool_name(tool), '--option-' || few(f(r, 3), 300),
         CASE WHEN f(s, 1) < 0.1 THEN 'import json; print(' || s || ')'
              WHEN f(s, 1) < 0.2 THEN md5(s::VARCHAR)
              ELSE '/srv/code/project-' || work || '/src/module_' || module || '.py' END] END
         AS argv,
       CASE WHEN file THEN
         CASE WHEN f(s, 1) < 0.03 THEN '/tmp/work-' || md5(r::VARCHAR)[:12] || '/out-' || s % 999
              WHEN k = 0 AND f(s, 1) < 0.40 THEN '/usr/lib/python3/dist-packages/pkg_'
                                                 || few(f(r, 3), 3000) || '/__init__.py'
              WHEN k = 0 AND f(s, 1) < 0.41 THEN '/etc/conf.d/' || few(f(r, 3), 40)
              ELSE '/srv/code/project-' || work || '/src/module_' || module || '.py' END
         END AS path,
       CASE WHEN file THEN 2049 END::BIGINT AS device,
       CASE WHEN NOT file THEN NULL WHEN f(s, 1) < 0.03 THEN 2000000 + i
            WHEN k = 0 AND f(s, 1) < 0.41 THEN 700000 + few(f(r, 3), 3000)
            ELSE 100000 + work * 1000 + module END AS inode,
       CASE WHEN k = 0 THEN few(f(s, 2), 4)::INT END AS flags,
       CASE WHEN net THEN k - 2 END::INT AS transport,
       CASE WHEN net THEN '198.51.' || few(f(r, 1), 40) || '.' || few(f(r, 3), 250) END AS address,
       CASE k WHEN 2 THEN [443, 80, 5432, 22, 6379][1 + few(f(s, 2), 5)] WHEN 3 THEN 53
       END::BIGINT AS port,
       CASE WHEN NOT act THEN NULL WHEN denied THEN -13 WHEN f(s, 3) < 0.03 THEN -2
            WHEN f(s, 3) < 0.033 THEN -13 ELSE 0 END::BIGINT AS result,
       CASE WHEN NOT act THEN NULL WHEN (held OR denied) AND f(s, 3) < 0.01 THEN 2
            WHEN f(s, 3) < 0.02 THEN 1 ELSE 0 END::INT AS guarantee,
       CASE WHEN NOT act THEN NULL WHEN held THEN 1 WHEN denied THEN 2 ELSE 0 END::INT AS action,
       CASE WHEN held THEN few(f(r, 3), 25) WHEN denied THEN 25 + few(f(r, 3), 5)
            WHEN act AND f(s, 3) < 0.08 THEN few(f(r, 3), 25) END::INT AS rule,
       CASE WHEN held THEN hold_id(host, i) END AS hold,
       CASE k WHEN 8 THEN 1 + few(f(r, 3), 1000) WHEN 0 THEN 1 + few(f(r, 2), 6) ELSE 1
       END::BIGINT AS count,
       CASE WHEN k >= 7 THEN k - 7 END::INT AS detail,
       CASE WHEN k = 6 THEN '/srv/code/project-' || work || '/src/module_' || module || '.bak' END
         AS second_path,
       CASE WHEN k IN (4, 5) THEN (f(s, 2) < 0.1)::INT END AS operation,
       NULL::BIGINT AS target_pid, NULL::VARCHAR AS target_comm
FROM marked ORDER BY host, i
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """So many events in all; what a host has is a multiple of what a batch has."""

    events: int

    def each(self, host: int) -> int:
        """Return how many events a host has: the first four times as many as the last."""
        weight = 4.0 - 3.0 * host / (HOSTS - 1)
        return max(1, round(self.events * weight / (2.5 * HOSTS) / BATCH)) * BATCH

    @property
    def total(self) -> int:
        """How many there are in all, which is about as many as were wanted."""
        return sum(self.each(host) for host in range(HOSTS))

    @property
    def slices(self) -> int:
        """How many segments there are: each has a stretch of time of all hosts."""
        return -(-self.total // SEGMENT)

    def span(self, host: int, number: int) -> tuple[int, int]:
        """Return the first event of a host in a segment, and that after the last; from 0."""
        batches = self.each(host) // BATCH
        first, last = (batches * place // self.slices for place in (number, number + 1))
        return first * BATCH, last * BATCH


def events(shape: Shape, number: int, connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return the rows of a segment; `connection` is one that `ready` gave."""
    spans = [(host, shape.each(host), *shape.span(host, number)) for host in range(HOSTS)]
    return _rows(spans, connection)


def events_of(
    shape: Shape, host: int, first: int, last: int, connection: duckdb.DuckDBPyConnection
) -> pa.Table:
    """Return the events of one host from number `first` to before `last`, from 0."""
    return _rows([(host, shape.each(host), first, last)], connection)


def ready(threads: int = 1) -> duckdb.DuckDBPyConnection:
    """Return a connection that knows the macros."""
    connection = duckdb.connect(config={"threads": threads})
    connection.execute(MACROS)
    return connection


def parts(shape: Shape, connection: duckdb.DuckDBPyConnection) -> Iterator[pa.Table]:
    """Yield all events, a segment at once."""
    for number in range(shape.slices):
        yield events(shape, number, connection)


def _rows(
    spans: list[tuple[int, int, int, int]], connection: duckdb.DuckDBPyConnection
) -> pa.Table:
    columns = zip(*spans, strict=True)
    names = ("host", "each", "first", "last")
    given = pa.table(
        {name: pa.array(values, pa.int64()) for name, values in zip(names, columns, strict=True)}
    )
    connection.register("spans", given)
    try:
        found = connection.execute(EVENTS).to_arrow_table()
    finally:
        connection.unregister("spans")
    return pa.Table.from_arrays(
        [_column(found[field.name], field) for field in schema.EVENTS.schema],
        schema=pa.schema(
            field.with_type(pa.dictionary(pa.int32(), pa.string()))
            if field.name in _POOLS
            else field
            for field in schema.EVENTS.schema
        ),
    )


def _column(values: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    pool = _POOLS.get(field.name)
    if pool is None:
        return values.cast(field.type)
    words = pa.array(pool, pa.string())
    chunks = [
        pa.DictionaryArray.from_arrays(chunk.cast(pa.int32()), words) for chunk in values.chunks
    ]
    return pa.chunked_array(chunks, pa.dictionary(pa.int32(), pa.string()))


def directory_size(directory: Path) -> int:
    """Return the bytes of all files below a directory."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())

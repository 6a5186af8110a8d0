"""Reads the trail for the collector itself: records, lists and counts, each on a cursor of its own.

Reading never waits for the writer: DuckDB gives each cursor a snapshot.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import duckdb

from collector.approvals.record import Record
from collector.errors import TrailError
from collector.orders.ledger import Ledger
from collector.trail.figures import reviewer_figures, rule_figures
from collector.trail.orders import read_ledger
from collector.trail.records import Rows, Said, read_early, read_records
from wire.events import NAMES
from wire.ids import HoldId, RequestId

T = TypeVar("T")

_AT_ONCE = 10_000
_UNFINISHED = """
SELECT request FROM holds h WHERE NOT EXISTS (
  SELECT 1 FROM hold_states s WHERE s.hold = h.hold
  AND s.state IN ('released', 'killed', 'refused', 'cancelled', 'superseded'))
AND NOT (h.kind = 'ask' AND EXISTS (SELECT 1 FROM decisions d WHERE d.request = h.request))
"""
_HOSTS = """
SELECT host, h.name, h.mode, h.kernel, h.version, h.subjects, h.ruleset,
       h.without_effect, h.started_ns,
       b.last_event_ns, coalesce(b.gap_events, 0) + coalesce(c.missing, 0) AS gap_events
FROM (SELECT DISTINCT ON (host) * FROM hosts ORDER BY host, started_ns DESC, received_ns DESC) h
FULL JOIN (SELECT host, max(last_event_ns) AS last_event_ns, sum(gap_events)::BIGINT AS gap_events
           FROM batches GROUP BY host) b USING (host)
LEFT JOIN (SELECT host, sum(missing_events)::BIGINT AS missing FROM chain_breaks GROUP BY host) c
  USING (host)
"""

# A separator that no text can have, so that nothing is found across two columns.
_EVENT_TEXT = (
    "lower(concat_ws(chr(0), program, array_to_string(argv, ' '), path, address, detail, "
    "second_path, operation, target_comm))"
)


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests to list, newest first. `after` is the last one of the page before."""

    state: str | None = None
    host: str | None = None
    subject: str | None = None
    rule: str | None = None
    session: str | None = None
    severity: str | None = None
    text: str | None = None  # a part of what is asked for, in any case
    since_ns: int | None = None
    until_ns: int | None = None
    after: tuple[int, str] | None = None  # opened_ns and request
    limit: int = 100


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to list, newest first. `after` is (time_ns, host, number) of the last one."""

    host: str | None = None
    subject: str | None = None
    session: str | None = None
    kind: str | None = None
    path: str | None = None  # a part of it
    text: str | None = None  # a part of program, arguments, path, address or detail, in any case
    address: str | None = None
    rule: str | None = None
    hold: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    after: tuple[int, str, int] | None = None
    limit: int = 100


class Reader:
    """Runs the collector's own queries in threads."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="trail-reader")

    def close(self) -> None:
        """Wait for what runs."""
        self._pool.shutdown()

    async def records(self, requests: Sequence[RequestId]) -> tuple[Record, ...]:
        """Return the records of those requests that the trail has, in no order."""
        if not requests:
            return ()
        return await self._run(lambda cursor: read_records(cursor, requests))

    async def unfinished(self) -> tuple[Record, ...]:
        """Return every record that its host has not closed."""

        def read(cursor: duckdb.DuckDBPyConnection) -> tuple[Record, ...]:
            found = [RequestId(row[0]) for row in cursor.execute(_UNFINISHED).fetchall()]
            return read_records(cursor, found)

        return await self._run(read)

    async def early(self) -> tuple[Said, ...]:
        """Return what people said of holds that the trail does not have."""
        return await self._run(read_early)

    async def ledger(self) -> Ledger:
        """Return every order that the trail has."""
        return await self._run(read_ledger)

    async def visit_holds(self, visit: Callable[[str], None]) -> None:
        """Call once for the request of every hold, from a thread."""

        def read(cursor: duckdb.DuckDBPyConnection) -> None:
            cursor.execute("SELECT request FROM holds")
            while rows := cursor.fetchmany(_AT_ONCE):
                for (request,) in rows:
                    visit(request)

        await self._run(read)

    async def denied_beyond(self, name: HoldId) -> dict[HoldId, int]:
        """Return how much the session was denied whose summary goes by this hold, by such names.

        A host whose agent was started anew may have named another hold, on the same requests.
        """
        rows = await self._fetch(
            "SELECT capped, max(denied_beyond) FROM hold_states WHERE capped IS NOT NULL"
            " AND hold IN (SELECT hold FROM hold_states WHERE capped = ?) GROUP BY capped",
            [name],
        )
        return {HoldId(row[0]): row[1] for row in rows}

    async def glass_broken(self, since_ns: int) -> tuple[RequestId, ...]:
        """Return the requests for which the glass was broken since then, oldest first."""
        rows = await self._fetch(
            "SELECT request FROM decisions WHERE ground = 'break_glass' AND time_ns >= ?"
            " ORDER BY time_ns",
            [since_ns],
        )
        return tuple(RequestId(row[0]) for row in rows)

    async def find(self, prefix: str) -> tuple[RequestId, ...]:
        """Return up to two requests whose id starts with `prefix`."""
        rows = await self._fetch(
            "SELECT request FROM holds WHERE starts_with(request, ?) LIMIT 2", [prefix]
        )
        return tuple(RequestId(row[0]) for row in rows)

    async def list_requests(self, wanted: RequestFilter) -> tuple[RequestId, ...]:
        """Return up to limit + 1 requests, newest first."""
        where, values = _where(
            ("state = ?", wanted.state),
            ("host = ?", wanted.host),
            ("subject = ?", wanted.subject),
            ("rule = ?", wanted.rule),
            ("session = ?", wanted.session),
            ("severity = ?", wanted.severity),
            ("contains(lower(what), lower(?))", wanted.text),
            ("opened_ns >= ?", wanted.since_ns),
            ("opened_ns < ?", wanted.until_ns),
        )
        if wanted.after:
            where += (" AND" if where else " WHERE") + " (opened_ns, request) < (?, ?)"
            values += wanted.after
        rows = await self._fetch(
            f"SELECT request FROM requests{where}"  # noqa: S608 - fixed text, values are bound
            " ORDER BY opened_ns DESC, request DESC LIMIT ?",
            [*values, wanted.limit + 1],
        )
        return tuple(RequestId(row[0]) for row in rows)

    async def events(self, wanted: EventFilter) -> list[dict[str, Any]]:
        """Return up to limit + 1 events with host and number, newest first."""
        after = wanted.after or (None, None, None)
        where, values = _where(
            ("host = ?", wanted.host),
            ("subject = ?", wanted.subject),
            ("session = ?", wanted.session),
            ("kind = ?", wanted.kind),
            ("contains(path, ?)", wanted.path),
            (f"contains({_EVENT_TEXT}, lower(?))", wanted.text),
            ("address = ?", wanted.address),
            ("rule = ?", wanted.rule),
            ("hold = ?", wanted.hold),
            ("time_ns >= ?", wanted.since_ns),
            ("time_ns < ?", wanted.until_ns),
        )
        if wanted.after:
            where += (" AND" if where else " WHERE") + " (time_ns, host, number) < (?, ?, ?)"
            values += after
        names = ("host", "number", *NAMES)
        columns = ", ".join(f'"{name}"' for name in names)
        rows = await self._fetch(
            f"SELECT {columns} FROM events{where}"  # noqa: S608 - fixed text, values are bound
            " ORDER BY time_ns DESC, host DESC, number DESC LIMIT ?",
            [*values, wanted.limit + 1],
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    async def hosts(self) -> list[dict[str, Any]]:
        """Return the newest record of each host that has said something of itself."""
        names = (
            "host name mode kernel version subjects ruleset without_effect started_ns "
            "last_event_ns gap_events"
        ).split()
        return [dict(zip(names, row, strict=True)) for row in await self._fetch(_HOSTS, [])]

    async def figures(self, since_ns: int) -> dict[str, list[dict[str, Any]]]:
        """Return the figures of `reviewers` and of `rules`, times as ISO 8601."""

        def rows(cursor: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
            found = cursor.execute(sql, [since_ns]).fetchall()
            names = [column[0] for column in cursor.description or ()]
            named = (dict(zip(names, row, strict=True)) for row in found)
            return [one | {"last": f"{one['last'].isoformat()}Z"} for one in named]

        return await self._run(
            lambda cursor: {
                "reviewers": rows(cursor, reviewer_figures("?")),
                "rules": rows(cursor, rule_figures("?")),
            }
        )

    async def _fetch(self, sql: str, values: Sequence[object]) -> Rows:
        return await self._run(lambda cursor: cursor.execute(sql, list(values)).fetchall())

    async def _run(self, read: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        def work() -> T:
            with self._lock:
                cursor = self._connection.cursor()
            try:
                return read(cursor)
            except duckdb.Error as error:
                raise TrailError(f"the trail cannot be read: {error}") from error
            finally:
                cursor.close()

        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _where(*conditions: tuple[str, object]) -> tuple[str, list[object]]:
    given = [(text, value) for text, value in conditions if value is not None]
    text = " AND ".join(text for text, _ in given)
    return (f" WHERE {text}" if text else ""), [value for _, value in given]

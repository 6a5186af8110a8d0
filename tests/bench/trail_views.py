"""Every named view, asked for a day and for everything, by the two ways that people take."""

import asyncio
import datetime as dt
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import duckdb

from collector.trail.sql import MOST_ROWS, SqlRunner
from collector.trail.views import VIEWS
from tests.bench import trail_made, trail_shape
from tests.bench.measures import interleaved
from tests.bench.trail_made import Made
from tests.bench.trail_shape import BEGIN_NS, DAY_NS, DAYS, Shape

# By which column a stretch of time is asked for, where that is not `when`.
_TIMES = {
    "pending": "opened",
    "gaps": "noticed",
    "reviewer_figures": "last",
    "rule_figures": "last",
    "grants_in_force": "made",
    "quarantines_in_force": "since",
    "silent_agents": "since",
}
_LIMIT_S = 60.0  # so that a slow view is measured and not cut off


@dataclass(frozen=True, slots=True)
class Timed:
    """One answer: by which way, of which view, over a day or everything, and its times."""

    way: str
    view: str
    day: bool
    wall_ns: int
    cpu_ns: int


class _Way(Protocol):
    def ask(self, sql: str) -> int:
        """Return how many rows the answer has."""


class _Client:
    """What `duckdb -readonly views.duckdb` does: opens the file, asks once, closes it."""

    def __init__(self, made: Made) -> None:
        self._made = made

    def ask(self, sql: str) -> int:
        with duckdb.connect(str(self._made.views), read_only=True) as connection:
            return len(connection.execute(sql).fetchmany(MOST_ROWS))


class _Runner:
    """What `holdfast trail sql` and the query page ask, behind the API."""

    def __init__(self, runner: SqlRunner, loop: asyncio.Runner) -> None:
        self._runner = runner
        self._loop = loop

    def ask(self, sql: str) -> int:
        return len(self._loop.run(self._runner.run(sql, MOST_ROWS)).rows)


def measured(made: Made, *, days: int, whole: int) -> list[Timed]:
    """Ask each view for `days` different days and `whole` times for everything, in turns."""
    found: list[Timed] = []
    with _ways(made) as ways:
        asks = [(name, view) for view in VIEWS for name in ways]
        for day, rounds in ((True, days), (False, whole)):
            for number, (name, view) in enumerate(interleaved(rounds, asks)):
                which = (number // len(asks) * 7 + 3) % DAYS if day else None
                sql = question(view, made.shape, which)
                found.append(_timed(ways[name], name, view, sql, day=day))
    return found


def question(view: str, shape: Shape, day: int | None) -> str:
    """Return the SQL that asks a view for a day (from 0), or for everything."""
    conditions = []
    if view == "session_timeline":
        conditions.append(f"session = '{_session(shape, DAYS // 2 if day is None else day)}'")
    if day is not None:
        ends = [dt.datetime.fromtimestamp((BEGIN_NS + n * DAY_NS) / 1e9, dt.UTC) for n in
                (day, day + 1)]  # fmt: skip
        first, last = (f"TIMESTAMP '{end:%Y-%m-%d}'" for end in ends)
        if view == "requests":
            conditions += [f"opened_ns >= epoch_ns({first})", f"opened_ns < epoch_ns({last})"]
        else:
            name = _TIMES.get(view, "when")
            conditions += [f'"{name}" >= {first}', f'"{name}" < {last}']
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"FROM {view}{where}"


def _session(shape: Shape, day: int) -> str:
    """Return a session of the busiest host on that day."""
    place = int(shape.each(0) * (day + 0.5) / DAYS)
    with trail_shape.ready() as connection:
        row = connection.execute("SELECT session_id(0, ?::BIGINT)", [place]).fetchone()
    assert row is not None
    return str(row[0])


def _timed(way: _Way, name: str, view: str, sql: str, *, day: bool) -> Timed:
    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    way.ask(sql)
    return Timed(name, view, day, time.perf_counter_ns() - wall, time.process_time_ns() - cpu)


@contextmanager
def _ways(made: Made) -> Iterator[dict[str, _Way]]:
    with trail_made.opened(made) as connection, asyncio.Runner() as loop:
        runner = SqlRunner(connection, seconds=_LIMIT_S, workers=1)
        try:
            yield {"trail sql": _Runner(runner, loop), "DuckDB client": _Client(made)}
        finally:
            runner.close()

"""The view over all events: it shows each of them, and opens only files that may have an answer."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.config import Trail
from collector.trail import schema
from collector.trail.event_rows import event_rows
from collector.trail.segments import view
from collector.trail.segments.files import directory_of
from collector.trail.segments.segment import Segment
from collector.trail.store import open_trail
from collector.trail.writer import Writer
from tests.support.wire_host import batch, full_row
from wire.codec import encode
from wire.ids import HostId

HOST = HostId("a" * 32)
HOUR_NS = 3600 * 10**9
BEGIN_NS = 500_000 * HOUR_NS
_WHENS = (
    'SELECT number FROM events WHERE "when" >= make_timestamp({}) AND "when" < make_timestamp({})'
)


class Hours:
    """A trail with a segment for each of some lists of times."""

    def __init__(self, directory: Path) -> None:
        self.connection = open_trail(Trail(file=str(directory / "trail.duckdb")))
        self.writer = Writer(self.connection, on_fatal=pytest.fail)
        self._sequence, self._first, self._previous = 0, 1, "0" * 64

    def write(self, times_ns: list[int]) -> None:
        """Make one more."""
        self._sequence += 1
        rows = [full_row() | {"time_ns": one} for one in times_ns]
        message = batch(HOST, self._sequence, self._first, rows, self._previous)
        self._first, self._previous = self._first + len(rows), message.chain
        asyncio.run(self.writer.write((), [event_rows(message, encode(message))]))
        self.writer.write_out().result()

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """Return the rows of an answer."""
        return self.connection.cursor().execute(sql).fetchall()

    def opened(self, sql: str) -> int:
        """Return how many groups of files a question reads."""
        plan = str(self.ask(f"EXPLAIN (FORMAT json) {sql}")[0][1])
        return len(re.findall(r'"name": *"READ_PARQUET *"', plan))

    def close(self) -> None:
        """Close it."""
        self.writer.close()
        self.connection.close()


@pytest.fixture
def hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hours]:
    """Give an open trail without events, whose groups are of one file."""
    monkeypatch.setattr(view, "_FEWEST", 1)
    made = Hours(tmp_path)
    yield made
    made.close()


def test_a_question_about_a_time_reads_only_what_is_of_that_time(hours: Hours) -> None:
    """Whatever else it asks for, and through whatever view."""
    for hour in range(8):
        hours.write([BEGIN_NS + hour * HOUR_NS, BEGIN_NS + hour * HOUR_NS + 5])
    first_us = BEGIN_NS // 1000 + 3 * HOUR_NS // 1000
    third = _WHENS.format(first_us, first_us + HOUR_NS // 2000)
    assert hours.ask(f"{third} ORDER BY 1") == [(7,), (8,)]
    assert hours.opened(third) == 1
    assert hours.opened(third.replace("number FROM events", "what FROM session_timeline")) == 1
    assert hours.opened("SELECT number FROM events") == 8
    assert hours.opened(_WHENS.format(0, 1)) == 0


def test_one_file_out_of_the_order_of_time_is_in_a_group_like_any_other(hours: Hours) -> None:
    """A host that was away for long, or has a wrong clock."""
    for hour in range(4):
        hours.write([BEGIN_NS + hour * HOUR_NS])
    hours.write([0, BEGIN_NS + 2 * HOUR_NS])
    second_us = (BEGIN_NS + 2 * HOUR_NS) // 1000
    found = _WHENS.format(second_us, second_us + 1)
    assert hours.ask(f"{found} ORDER BY 1") == [(3,), (6,)]
    assert hours.opened(found) == 2


def test_groups_are_few_however_many_files_there_are() -> None:
    """Each costs something with every question."""
    found = [_segment(number) for number in range(500)]
    assert view.view_of(Path("/x"), found, []).count("read_parquet") <= view._GROUPS


def test_a_few_files_are_one_group() -> None:
    """To tell them apart would cost more than to open them."""
    found = [_segment(number) for number in range(view._FEWEST)]
    assert view.view_of(Path("/x"), found, []).count("read_parquet") == 1


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.lists(
            st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(-3000, 3000),
            min_size=1,
            max_size=4,
        ),
        min_size=1,
        max_size=6,
    )
)
def test_every_event_is_shown_whatever_its_host_takes_for_the_time(
    tmp_path_factory: pytest.TempPathFactory, times: list[list[int]]
) -> None:
    """Also before 1970, in parts of a microsecond, and at the ends of what a column holds."""
    hours = Hours(tmp_path_factory.mktemp("trail"))
    try:
        for one in times:
            hours.write(one)
        pattern = directory_of(hours.connection) / "*.parquet"
        there = duckdb.sql(f"SELECT number FROM read_parquet('{pattern}') ORDER BY 1").fetchall()  # noqa: S608
        assert hours.ask("SELECT number FROM events ORDER BY 1") == there
        assert len(there) == sum(map(len, times))
    finally:
        hours.close()


def _segment(number: int) -> Segment:
    first = BEGIN_NS + number * HOUR_NS
    columns = len(schema.STORED)
    return Segment(f"{number}.parquet", 1, 1, first, first + HOUR_NS, 0, first, columns)

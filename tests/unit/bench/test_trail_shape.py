"""The events of the bench of the trail: rows of the real schema, the same each time."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from collector.trail import schema
from tests.bench import trail_made, trail_shape
from tests.bench.trail_made import Made
from tests.bench.trail_shape import BATCH, HOSTS, Shape

SHAPE = Shape(60_000)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Give a small trail on disk."""
    return trail_made.made(tmp_path_factory.mktemp("trail"), SHAPE, processes=1)


def test_each_event_is_there_once_and_fits_the_schema() -> None:
    """Slice after slice gives the numbers of each host from 1 without a hole, and again."""
    shape = Shape(1_200_000)
    assert shape.slices == 3
    seen: Counter[int] = Counter()
    for host in range(HOSTS):
        spans = [shape.span(host, number) for number in range(shape.slices)]
        assert spans[0][0] == 0
        assert spans[-1][1] == shape.each(host)
        assert all(one[1] == then[0] for one, then in pairwise(spans))
        seen[host] = sum(last - first for first, last in spans)
    assert seen.total() == shape.total
    with trail_shape.ready() as connection:
        rows = trail_shape.events(SHAPE, 0, connection)
        again = trail_shape.events(SHAPE, 0, connection)
    assert rows.equals(again)
    assert rows.num_rows == SHAPE.total
    rows.cast(schema.EVENTS.schema).validate(full=True)
    for field in schema.EVENTS.schema:
        assert field.nullable or not rows[field.name].null_count, field


def test_a_host_has_its_events_in_order() -> None:
    """Numbers count from 1, times never go back between batches, and a batch has what it has."""
    with trail_shape.ready() as connection:
        rows = trail_shape.events_of(SHAPE, 3, 500, 2_000, connection)
    assert rows["number"].to_pylist() == list(range(501, 2_001))
    batches = rows["batch"].to_pylist()
    assert set(Counter(batches).values()) == {BATCH}
    times = rows["time_ns"].to_pylist()
    firsts = times[::BATCH]
    assert firsts == sorted(firsts)


def test_the_trail_answers_by_its_views(small: Made) -> None:
    """What was held has a request, states and an end; the batches are those of the events."""
    with duckdb.connect(str(small.views), read_only=True) as connection:

        def one(sql: str) -> int:
            row = connection.execute(sql).fetchone()
            assert row is not None
            return int(row[0])

        held = one("SELECT count(*) FROM events WHERE action = 'ask'")
        assert held > 0
        assert one("SELECT count(*) FROM requests WHERE outcome IS NOT NULL") == held
        assert one("SELECT count(*) FROM events") == SHAPE.total
        assert one("SELECT count(*) FROM batches") == SHAPE.total // BATCH
        assert one("SELECT count(*) FROM who_allowed") > one("SELECT count(*) FROM who_denied") > 0


def test_the_locked_trail_is_the_same(small: Made) -> None:
    """The collector's own connection shows what the file for everybody shows."""
    with trail_made.opened(small) as connection:
        found = connection.execute("SELECT count(*) FROM events").fetchone()
    assert found == (SHAPE.total,)
    assert trail_shape.directory_size(Path(small.directory)) > 0

"""What an export reads: every record once, in the order that the page names, resumable."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import Refusal, SqlError
from collector.export.downloads import Download, Downloads
from collector.export.formats import Format
from collector.export.reading import Reading, Wanted
from collector.export.slices import Span, slices
from collector.export.sources import EVENTS, SOURCES
from collector.trail.rows import opened_row
from tests.support.export_trail import HOST, OTHER, ExportTrail
from tests.support.wire_host import opened
from wire.codec import encode

S = 10**9


def _records(trail: ExportTrail, wanted: Wanted) -> list[dict[str, Any]]:
    cursor = trail.connection.cursor()
    reading = Reading(cursor, wanted)
    found = [row for batch in reading.batches() for row in batch.to_pylist()]
    reading.close()
    return found


async def _fill(trail: ExportTrail) -> None:
    for host, times in ((HOST, (5, 1, 3)), (OTHER, (3, 3, -7))):
        await trail.events(host, [{"time_ns": time * S, "path": f"/{time}"} for time in times])


async def test_records_come_by_time_and_then_by_host_and_number(trail: ExportTrail) -> None:
    """However they came in; each has an id that names it."""
    await _fill(trail)
    found = _records(trail, Wanted(EVENTS))
    assert [(one["time_ns"] // S, one["id"]) for one in found] == [
        (-7, f"events/{OTHER}/3"),
        (1, f"events/{HOST}/2"),
        (3, f"events/{HOST}/3"),
        (3, f"events/{OTHER}/1"),
        (3, f"events/{OTHER}/2"),
        (5, f"events/{HOST}/1"),
    ]


async def test_an_export_goes_on_after_any_record_of_it(trail: ExportTrail) -> None:
    """What came and what comes then are the whole, with nothing twice."""
    await _fill(trail)
    whole = [one["id"] for one in _records(trail, Wanted(EVENTS))]
    for place, record in enumerate(whole):
        rest = _records(trail, Wanted(EVENTS, after=record))
        assert [one["id"] for one in rest] == whole[place + 1 :]


async def test_times_and_a_condition_choose(trail: ExportTrail) -> None:
    """The end is not part of it; a condition is what stands behind WHERE."""
    await _fill(trail)
    some = _records(trail, Wanted(EVENTS, since_ns=1 * S, until_ns=5 * S))
    assert [one["time_ns"] // S for one in some] == [1, 3, 3, 3]
    some = _records(trail, Wanted(EVENTS, where="path = '/3' OR path = '/5' -- both"))
    assert [one["time_ns"] // S for one in some] == [3, 3, 3, 5]
    some = _records(trail, Wanted(EVENTS, since_ns=4 * S, where="true) OR (true"))
    assert [one["time_ns"] // S for one in some] == [5]


@pytest.mark.parametrize(
    "where",
    [
        "",
        "1 = 1) UNION SELECT * FROM events WHERE (1 = 1",
        "1 = 1) ORDER BY (path",
        "1 = 1) LIMIT (1",
        "1 = 1) GROUP BY ALL HAVING (1 = 1",
        "1 = 1); DROP TABLE events; --",
        "path = (SELECT content FROM read_text('/etc/passwd'))",
        "getenv('HOME') = ''",
        "nothing = 1",
        "path = 1 = 'x",
        "EXISTS (SELECT 1 FROM duckdb_settings())",
        "count(*) > 1",
        "number = ?",
    ],
)
async def test_a_condition_is_one_expression_and_reads_nothing_else(
    trail: ExportTrail, where: str
) -> None:
    """It is refused with words for who wrote it, before or as it is read."""
    await trail.events(HOST, [{"path": "/x"}])
    with pytest.raises(SqlError):
        _records(trail, Wanted(EVENTS, where=where))
    assert trail.sql("SELECT count(*) FROM events") == [(1,)]


@pytest.mark.parametrize(
    "after", ["", "events", "events/a/b", "holds/x", f"events/{HOST}/9", f"events/{HOST}/1/2"]
)
async def test_a_place_that_is_none_is_refused(trail: ExportTrail, after: str) -> None:
    """Nobody gets everything again, or nothing, for a misspelt id."""
    await trail.events(HOST, [{}])
    with pytest.raises(Refusal, match="after"):
        _records(trail, Wanted(EVENTS, after=after))


async def test_every_table_can_be_exported(trail: ExportTrail) -> None:
    """Those without rows too, in every format."""
    hold = opened(HOST)
    await trail.rows(opened_row(hold, encode(hold), 5))
    await trail.events(HOST, [{}])
    downloads = Downloads(trail.connection, lambda host: "web-1")
    for source in SOURCES.values():
        for made_in in Format:
            download = downloads.open(Wanted(source), made_in)
            data = b"".join(download.parts())
            downloads.end(download)
            lines = data.count(b"\n")
            if source.name in ("events", "holds") and made_in is not Format.PARQUET:
                assert lines == 1 + (made_in is Format.CSV)
            if made_in is Format.PARQUET:
                assert data.startswith(b"PAR1") and data.endswith(b"PAR1")


async def test_a_cancelled_export_ends(trail: ExportTrail) -> None:
    """It says so, and reads no further."""
    await _fill(trail)
    download: Download = Downloads(trail.connection, str).open(Wanted(EVENTS), Format.JSONL)
    download.cancel()
    with pytest.raises(SqlError, match="ended"):
        list(download.parts())


@given(st.lists(st.integers(-5 * 3600 * S, 5 * 3600 * S), max_size=60), st.integers(1, 9))
def test_slices_cover_every_event_once_and_in_order(times: list[int], most: int) -> None:
    """Whatever the times; and none has many more events than it may, but within one second."""
    times.sort()
    span = (-4 * 3600 * S, 4 * 3600 * S)

    def count(step: int, span: Span, most: int) -> list[tuple[int, int, int]]:
        groups: dict[int, list[int]] = {}
        inside = [time // step for time in times if span[0] <= time < span[1]]
        for so_far, bucket in enumerate(inside):
            last = max(place for place, one in enumerate(inside) if one == bucket) + 1
            groups.setdefault(last // most, []).append(bucket)
            assert so_far < last
        return [(group[0], group[-1], len(group)) for group in groups.values()]

    cut = list(slices(count, span, most=most))
    assert all(one[1] <= other[0] for one, other in pairwise(cut))
    covered = [time for start, end in cut for time in times if start <= time < end]
    assert covered == [time for time in times if span[0] <= time < span[1]]
    for start, end in cut:
        inside = [time for time in times if start <= time < end]
        largest = max((sum(one // S == time // S for one in inside) for time in inside), default=0)
        assert len(inside) <= max(2 * most, largest + most)

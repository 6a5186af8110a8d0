"""The trail at size: how fast its views answer, what an event takes on disk, how fast it fills."""

import os
from collections.abc import Mapping, Sequence

from collector.ingest.checking import Checkers
from collector.trail.views import VIEWS
from tests.bench import trail_bytes, trail_ingest, trail_made, trail_views
from tests.bench.measures import (
    digits,
    interleaved,
    percentile,
    spread,
    spread_text,
    time_text,
)
from tests.bench.page import Aim, Section, Table
from tests.bench.report import Report
from tests.bench.sizes import Sizes
from tests.bench.trail_ingest import Flooded
from tests.bench.trail_made import Made
from tests.bench.trail_shape import BATCH, DAYS, HOSTS, Shape
from tests.bench.trail_views import Timed

SECTION = Section("trail", "The trail at size")

_DAY_NS, _WHOLE_NS = 300e6, 2e9
_BYTES = 25.0
_RATE = 200_000
# Events of a message: what an agent has gathered in a fifth of a second, and what one carries at
# most when there is much.
_EACH = (BATCH, 3_500)


def test_the_trail_at_size(sizes: Sizes, report: Report) -> None:
    """Made once, asked by two ways, weighed; and a flood of messages beside it."""
    taken = _floods(sizes)
    with trail_made.kept(Shape(sizes.trail_events), processes=os.cpu_count() or 1) as made:
        timed = trail_views.measured(made, days=sizes.trail_days, whole=sizes.trail_whole)
        places, columns = trail_bytes.places(made), trail_bytes.columns(made)
    each = sum(places.values()) / made.shape.total
    report.publish(
        SECTION,
        [
            _made_table(made),
            _views_table(timed),
            _bytes_table(made, places, "On disk, for each event"),
            _bytes_table(made, dict(list(columns.items())[:10]), "Its largest columns"),
            _ingest_table(taken),
        ],
        [*_view_aims(timed), *_other_aims(each, taken)],
    )


def _made_table(made: Made) -> Table:
    rows = [
        ("Events", f"{made.shape.total:,}"),
        ("Hosts, days", f"{HOSTS}, {DAYS}"),
        ("Events of a batch", f"{BATCH}"),
    ]
    if made.events_s is not None and made.tables_s is not None:
        took = f"{made.events_s:,.0f} s, {made.tables_s:,.0f} s"
        rows.append(("Time to make the segments, and all else", took))
    return Table("What was made", ("What", "How much"), rows)


def _views_table(timed: Sequence[Timed]) -> Table:
    ways = sorted({one.way for one in timed})
    rows = []
    for view in VIEWS:
        cells = [f"`{view}`"]
        for day in (True, False):
            for way in ways:
                found = _walls(timed, view, way, day=day)
                cells.append(f"{spread_text(spread(found))}, {time_text(percentile(found, 0.95))}")
        rows.append(cells)
    heads = ["View", *(f"{what}, {way}" for what in ("a day", "everything") for way in ways)]
    return Table("Time of an answer: median (quartiles), and p95", heads, rows)


def _walls(timed: Sequence[Timed], view: str, way: str, *, day: bool) -> list[float]:
    asked = (view, way, day)
    return [float(one.wall_ns) for one in timed if (one.view, one.way, one.day) == asked]


def _bytes_table(made: Made, sizes: Mapping[str, int], title: str) -> Table:
    rows = [(name, digits(size / made.shape.total)) for name, size in sizes.items()]
    return Table(title, ("What", "Bytes"), rows)


def _floods(sizes: Sizes) -> dict[int, list[Flooded]]:
    sent = {each: trail_ingest.messages(sizes.ingest_events, each) for each in _EACH}
    taken: dict[int, list[Flooded]] = {each: [] for each in _EACH}
    checkers = Checkers()
    try:
        # Their processes are there when it counts, as after a collector's first flood.
        trail_ingest.flooded(sent[BATCH], checkers)
        for each in interleaved(sizes.ingest_rounds, _EACH):
            taken[each].append(trail_ingest.flooded(sent[each], checkers))
    finally:
        checkers.close()
    return taken


def _ingest_table(taken: dict[int, list[Flooded]]) -> Table:
    rows = []
    for each, found in taken.items():
        rates = spread([one.events / one.wall_s for one in found])
        cost = spread([one.cpu_s / one.events * 1e6 for one in found])
        size = found[0].bytes / found[0].events
        cells = (spread_text(rates, unit="a second"), spread_text(cost, unit="µs"), digits(size))
        rows.append((f"{each:,}", *cells))
    heads = ("Events of a message", "Events in the trail", "Processor time of one", "Bytes sent")
    return Table("A flood of messages, checked and on disk: median (quartiles)", heads, rows)


def _view_aims(timed: Sequence[Timed]) -> list[Aim]:
    aims = []
    for day, words, most in (
        (True, "a day: at p95 at most 300 ms", _DAY_NS),
        (False, "everything: at p95 at most 2 s", _WHOLE_NS),
    ):
        slowest = {
            (view, way): percentile(_walls(timed, view, way, day=day), 0.95)
            for view in VIEWS
            for way in {one.way for one in timed}
        }
        late = sorted({view for (view, _), took in slowest.items() if took > most})
        which, took = max(slowest.items(), key=lambda one: one[1])
        said = f"slowest: {which[0]} by {which[1]}, {time_text(took)}"
        said += f"; over it: {', '.join(late)}" if late else ""
        aims.append(Aim(f"Every view over {words}", said, not late))
    return aims


def _other_aims(each: float, taken: dict[int, list[Flooded]]) -> list[Aim]:
    best = max(
        spread([one.events / one.wall_s for one in found]).median for found in taken.values()
    )
    return [
        Aim(f"An event takes less than {_BYTES:g} bytes of disk, all told", f"{each:.1f}",
            each < _BYTES),
        Aim(f"{_RATE:,} events a second, checked and on disk", f"{best:,.0f}", best >= _RATE),
    ]  # fmt: skip

"""How many events a second reach the agent and the trail, what is lost, and what it costs."""

from tests.bench.flood import PROCESSES, Flood, Watched
from tests.bench.measures import digits, spread, spread_text
from tests.bench.page import Aim, Section, Table
from tests.bench.report import Report

SECTION = Section("events", "Events")

_AIM_RATE = 100_000


def test_every_event_is_stored_or_counted(flooded: Watched, report: Report) -> None:
    """Floods at several rates; what was made, stored and lost adds up to the last event."""
    rates = dict.fromkeys(flood.rate for flood in flooded.floods)
    by_rate = {rate: [one for one in flooded.floods if one.rate == rate] for rate in rates}
    for flood in flooded.floods:
        assert flood.stored + flood.lost_in_kernel + flood.lost_on_host == flood.made, flood
        assert flood.stored > 0, "nothing was stored"
    report.publish(SECTION, [_fate(by_rate), _cost(by_rate)], _aims(by_rate))


def _asked(rate: int) -> str:
    return f"{rate:,}" if rate else "as fast as it goes"


def _fate(by_rate: dict[int, list[Flood]]) -> Table:
    rows = []
    for rate, floods in by_rate.items():
        counts = [
            sum(getattr(one, name) for one in floods)
            for name in ("made", "stored", "lost_in_kernel", "lost_on_host")
        ]
        made_rate = spread([one.made / one.made_s for one in floods])
        to_agent = spread([(one.made - one.lost_in_kernel) / one.made_s for one in floods])
        to_trail = spread([one.stored / max(one.stored_s, one.made_s) for one in floods])
        rates = [f"{one.median:,.0f}" for one in (made_rate, to_agent, to_trail)]
        rows.append((_asked(rate), *rates, *(f"{count:,}" for count in counts)))
    heads = (
        "Asked for, a second",
        "Made a second",
        "To the agent a second",
        "To DuckDB a second",
        "Made",
        "In DuckDB",
        "Lost in the kernel, counted",
        "Lost on the host, counted",
    )
    return Table("What became of each event: medians, and sums of all rounds", heads, rows)


def _cost(by_rate: dict[int, list[Flood]]) -> Table:
    rows = []
    for rate, floods in by_rate.items():
        cells = []
        for name in PROCESSES:
            each = [one.used[name].cpu_s / one.stored * 1e6 for one in floods]
            cells.append(spread_text(spread(each), unit="s"))
        rows.append((_asked(rate), *cells))
    title = "Processor seconds for a million stored events, median (quartiles)"
    return Table(title, ("Asked for, a second", *PROCESSES), rows)


def _aims(by_rate: dict[int, list[Flood]]) -> list[Aim]:
    clean = [
        rate
        for rate, floods in by_rate.items()
        if rate and not any(one.lost_in_kernel or one.lost_on_host for one in floods)
    ]
    whole = max(clean, default=0)
    sums = sum(one.made for floods in by_rate.values() for one in floods)
    return [
        Aim(
            f"{_AIM_RATE:,} events a second reach the trail without a loss",
            f"{digits(whole)} a second was the highest steady rate without one",
            whole >= _AIM_RATE,
        ),
        # The test has failed otherwise.
        Aim("Every event is in the trail or counted as lost", f"{sums:,} of {sums:,}", True),
    ]

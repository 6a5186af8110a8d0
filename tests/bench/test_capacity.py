"""How many acts a second one core of the agent takes, and how many rows a second get to DuckDB."""

import tempfile
from pathlib import Path

from agent.sensor import programs
from tests.bench.measures import interleaved, spread
from tests.bench.page import Aim, Section, Table
from tests.bench.report import Report
from tests.bench.sizes import Sizes
from tests.support.accounts import Accounts
from tests.support.capacity import capacity
from tests.support.flooding import Outcome, flooded_house
from tests.support.watched import PINS, Watched, subreaper

SECTION = Section("capacity", "What the agent and the trail keep up with")

_OPENS = 20_000
_FILES = (1, 16, 1000, 5000)
_SOCKETS = 16
_AIM_AGENT, _AIM_TRAIL, _AIM_MADE = 600_000, 100_000, 500_000


def test_how_much_is_kept_up_with(people: Accounts, sizes: Sizes, report: Report) -> None:
    """The agent alone with a full ring, then the whole of Holdfast with rows that do not fold."""
    taken = _agent(people, sizes)
    outcome = _flood(sizes, "open", different=_FILES[-1], rate=_AIM_TRAIL)
    connects = _flood(sizes, "connect", different=_SOCKETS, rate=0)
    medians = {files: spread(values) for files, values in taken.items()}
    same, apart = medians[_FILES[0]].median, medians[_FILES[-1]].median
    to_trail = _to_trail(outcome)
    report.publish(
        SECTION,
        [
            _agent_table(taken),
            _trail_table({
                f"opens of {_FILES[-1]:,} files, {_AIM_TRAIL:,} a second asked for": outcome,
                f"connects to {_SOCKETS} sockets, as fast as it goes": connects,
            }),
        ],
        [
            Aim("One core of the agent takes 600,000 acts a second, of one file", f"{same:,.0f}",
                same >= _AIM_AGENT),
            Aim("The same, each act of another file than those around it", f"{apart:,.0f}",
                apart >= _AIM_AGENT),
            Aim("100,000 rows a second to DuckDB without loss", f"{to_trail:,.0f}, "
                f"{outcome.lost:,} lost", to_trail >= _AIM_TRAIL and not outcome.lost),
            Aim("500,000 acts a second of one process, each in the trail or counted as lost",
                f"{connects.flooded.a_second:,.0f}", connects.flooded.a_second >= _AIM_MADE),
        ],
    )  # fmt: skip


def _agent(people: Accounts, sizes: Sizes) -> dict[int, list[float]]:
    taken: dict[int, list[float]] = {files: [] for files in _FILES}
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as name, subreaper():
        place = Path(name)
        place.chmod(0o777)
        programs.unload(PINS)
        watched = Watched(people, place)
        try:
            watched.start()
            watched.begin()
            with capacity(watched, place) as measured:
                for files in interleaved(sizes.capacity_rounds, _FILES):
                    one = measured.fill_and_take(measured.files(files), opens=_OPENS)
                    taken[files].append(one.a_second)
        finally:
            watched.clean()
            watched.unload()
    return taken


def _agent_table(taken: dict[int, list[float]]) -> Table:
    rows = []
    for files, values in taken.items():
        seen = spread(values)
        cells = (seen.least, seen.median, seen.most)
        rows.append((f"{files:,}", *(f"{value:,.0f}" for value in cells), f"{seen.count}"))
    heads = ("Different files", "Least", "Median", "Most", "Rounds")
    return Table("Acts a second of the agent's processor time, ring to spool", heads, rows)


def _flood(sizes: Sizes, act: str, *, different: int, rate: int) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as name:
        Path(name).chmod(0o755)
        with flooded_house(Path(name), act=act, different=different) as flood:
            outcome = flood.run(seconds=sizes.capacity_s, rate=rate)
    assert outcome.delivered + outcome.lost == outcome.flooded.acts, outcome
    return outcome


def _to_trail(outcome: Outcome) -> float:
    """Return the rows a second to DuckDB, until the last of them was there."""
    return outcome.rows / (outcome.flooded.elapsed_ns / 1e9 + outcome.arrived_s)


def _trail_table(outcomes: dict[str, Outcome]) -> Table:
    rows = []
    for what, outcome in outcomes.items():
        cells = (
            f"{outcome.flooded.acts:,}",
            f"{outcome.flooded.a_second:,.0f}",
            f"{outcome.delivered:,}",
            f"{outcome.lost:,}",
            f"{outcome.rows:,}",
            f"{outcome.arrived_s:.1f} s",
            f"{_to_trail(outcome):,.0f}",
            f"{outcome.agent_peak_kb / 1024:.0f} MiB",
            f"{outcome.collector_peak_kb / 1024:.0f} MiB",
        )
        rows.append((what, *cells))
    heads = (
        "One process makes",
        "Made",
        "A second",
        "In the trail",
        "In gaps",
        "Rows in DuckDB",
        "All there after",
        "Rows a second to DuckDB",
        "Agent at most",
        "Collector at most",
    )
    return Table("Floods with ten holds open", heads, rows)

"""What an approval takes through the channels, and a thousand of them through the API."""

import asyncio

from tests.bench.approving import REASON, SLACK, WAYS, WEBHOOK, Times, office
from tests.bench.crowds import AT_ONCE, Decided, crowd
from tests.bench.measures import interleaved, percentile, spread, spread_text, time_text
from tests.bench.page import Aim, Section, Table
from tests.bench.report import Report
from tests.bench.sizes import Sizes
from tests.support.house import place_for_all

SECTION = Section("approvals", "What an approval takes")

_MS = 1e6
_POSTED_AIM_NS, _RUNNING_AIM_NS, _CROWD_AIM_NS = 20 * _MS, 10 * _MS, 5_000 * _MS
_POSTED = {
    SLACK: "call entered, until Slack has the card",
    REASON: "call entered, until Slack has a card whose answer must say why",
    WEBHOOK: "call entered, until the webhook has the request",
}
_RUNNING = {
    SLACK: "click in Slack, until the process runs",
    REASON: "click on a reason in Slack's window, until the process runs",
}


def test_what_an_approval_takes(sizes: Sizes, report: Report) -> None:
    """Each step of one approval after another, in a channel; then a crowd of them at once."""
    times = asyncio.run(_through_channels(sizes))
    decided = asyncio.run(_at_once(sizes))
    tables = [_steps(times), _crowd(decided, sizes.crowd)]
    report.publish(SECTION, tables, _aims(times, decided, sizes.crowd))


async def _through_channels(sizes: Sizes) -> dict[str, list[Times]]:
    found: dict[str, list[Times]] = {way: [] for way in WAYS}
    with place_for_all() as place:
        async with office(place) as made:
            for way in interleaved(sizes.approval_rounds, WAYS):
                found[way].append(await made.measure(way, sizes.approval_holds))
    return found


async def _at_once(sizes: Sizes) -> list[Decided]:
    with place_for_all() as place:
        async with crowd(place) as made:
            return [await made.decide(sizes.crowd) for _ in range(sizes.crowd_rounds)]


def _posted(found: list[Times]) -> list[float]:
    return [value for one in found for value in one.posted]


def _running(found: list[Times]) -> list[float]:
    return [value for one in found for value in one.running]


def _steps(times: dict[str, list[Times]]) -> Table:
    measured = [(words, _posted(times[way])) for way, words in _POSTED.items()]
    measured += [(words, _running(times[way])) for way, words in _RUNNING.items()]
    rows = []
    for words, values in measured:
        seen = spread(values)
        cells = (seen.least, seen.median, percentile(values, 0.99), seen.most)
        rows.append((words, *map(time_text, cells), f"{len(values)}"))
    heads = ("From, to", "Least", "p50", "p99", "Most", "Holds measured")
    return Table("Time of each step", heads, rows)


def _crowd(decided: list[Decided], count: int) -> Table:
    measured = {
        "first answer, until the last verdict is stored": [one.stored for one in decided],
        "first answer, until the reviewer has the last reply": [one.answered for one in decided],
        "the host's words on what it did, until all are in the trail": [
            one.confirmed for one in decided
        ],
    }
    rows = [
        (words, spread_text(spread(values)), time_text(max(values)), f"{len(values)}")
        for words, values in measured.items()
    ]
    title = f"{count:,} open requests approved, {AT_ONCE} answers at once: median (quartiles)"
    return Table(title, ("From, to", "All of them", "Slowest round", "Rounds"), rows)


def _aims(times: dict[str, list[Times]], decided: list[Decided], count: int) -> list[Aim]:
    stored = [one.stored for one in decided]
    found = []
    for way, words in _POSTED.items():
        found += step_aims(words, _posted(times[way]), _POSTED_AIM_NS)
    for way, words in _RUNNING.items():
        found += step_aims(words, _running(times[way]), _RUNNING_AIM_NS)
    words = f"{count:,} open requests decided"
    found.append(_aim(words, "at the median", spread(stored).median, _CROWD_AIM_NS))
    # A few rounds have no percentile but their slowest.
    found.append(_aim(words, "in the slowest round", max(stored), _CROWD_AIM_NS))
    return found


def step_aims(words: str, values: list[float], most: float) -> list[Aim]:
    """Return the aims of one step, each measured in ns: at the median, and at p99."""
    return [
        _aim(words, "at the median", spread(values).median, most),
        _aim(words, "at p99", percentile(values, 0.99), most),
    ]


def _aim(words: str, at: str, measured: float, most: float) -> Aim:
    aim = f"{words[0].upper()}{words[1:]}: {at} at most {time_text(most)}"
    return Aim(aim, time_text(measured), measured <= most)

"""How long a person waits for a request, and a process for the answer, with few and many open."""

from tests.bench.measures import interleaved, percentile, spread, time_text
from tests.bench.page import Aim, Section, Table
from tests.bench.report import Report
from tests.bench.sizes import Sizes
from tests.support.house import house, place_for_all
from tests.support.latency import Samples, measure, rules

SECTION = Section("latency", "How long a hold takes")

_MS = 1e6
_MEASURES = {
    "call entered, until the request is at the API": "visible",
    "answer given, until the process runs": "running",
    "answer given, until the reviewer has the reply": "answered",
}
_AIMS_NS = {"visible": 5 * _MS, "running": 3 * _MS}


def test_how_long_a_hold_takes(sizes: Sizes, report: Report) -> None:
    """Stamps of one clock around each step of one hold, while others wait."""
    samples: dict[int, list[Samples]] = {count: [] for count in sizes.open_holds}
    with place_for_all() as place, house(place, rules(place)) as built:
        for count in interleaved(sizes.latency_rounds, sizes.open_holds):
            samples[count].append(measure(built, sizes.latency_holds, standing=count - 1))
    report.publish(SECTION, [_table(samples)], _aims(samples))


def _values(found: list[Samples], field: str) -> list[float]:
    """Return all of one measure, in nanoseconds."""
    return [value * _MS for one in found for value in getattr(one, field)]


def _table(samples: dict[int, list[Samples]]) -> Table:
    rows = []
    for words, field in _MEASURES.items():
        for count, found in samples.items():
            values = _values(found, field)
            seen = spread(values)
            cells = (seen.least, seen.median, percentile(values, 0.99), seen.most)
            rows.append((words, f"{count}", *map(time_text, cells), f"{len(values)}"))
    heads = ("From, to", "Holds open", "Least", "p50", "p99", "Most", "Holds measured")
    return Table("Time of each step", heads, rows)


def _aims(samples: dict[int, list[Samples]]) -> list[Aim]:
    made = []
    for words, field in _MEASURES.items():
        for count, found in samples.items():
            if field not in _AIMS_NS:
                continue
            median = spread(_values(found, field)).median
            with_open = "with one hold open" if count == 1 else f"with {count} holds open"
            aim = f"{words[0].upper()}{words[1:]}, {with_open}: at the median at most "
            most = _AIMS_NS[field]
            made.append(Aim(f"{aim}{time_text(most)}", time_text(median), median <= most))
    return made

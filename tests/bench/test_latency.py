"""How long a person waits for a request, and a process for the answer, with few and many open."""

from tests.bench import home
from tests.bench.home import Files
from tests.bench.measures import interleaved, percentile, spread, time_text
from tests.bench.page import Aim, Section, Table
from tests.bench.report import Report
from tests.bench.sizes import Sizes
from tests.support.accounts import Accounts
from tests.support.house import House
from tests.support.latency import Arrivals, Held, end, measured

SECTION = Section("latency", "How long a hold takes")

# What a person does not notice between two clicks.
_AIM_NS = 100e6
_MEASURES = {
    "call entered, until the request is at the API": "visible_ns",
    "answer given, until the process runs": "running_ns",
}


def test_how_long_a_hold_takes(
    people: Accounts, files: Files, sizes: Sizes, report: Report
) -> None:
    """Stamps of one clock around each step of one hold, while others wait."""
    samples: dict[int, list[Held]] = {count: [] for count in sizes.open_holds}
    with home.home(files.directory / "latency", people, files) as house, home.loaded(house):
        arrivals = Arrivals(house)
        try:
            for count in interleaved(sizes.latency_rounds, sizes.open_holds):
                samples[count] += _some(house, arrivals, files, count, sizes.latency_holds)
        finally:
            arrivals.close()
    report.publish(SECTION, [_table(samples)], _aims(samples))


def _some(house: House, arrivals: Arrivals, files: Files, count: int, calls: int) -> list[Held]:
    """Measure calls while `count` holds are open, theirs among them."""
    program = str(files.program)
    others = [
        house.start([program, "held", str(files.asked_besides), "1"]) for _ in range(count - 1)
    ]
    arrivals.wait_open(count - 1)
    found = measured(house, arrivals, [program, "held", str(files.asked), str(calls)], calls)
    end(house, others)
    arrivals.wait_open(0)
    return found


def _table(samples: dict[int, list[Held]]) -> Table:
    rows = []
    for words, field in _MEASURES.items():
        for count, held in samples.items():
            values = [getattr(one, field) for one in held]
            spread_of = spread(values)
            cells = (
                spread_of.least,
                spread_of.median,
                percentile(values, 0.99),
                spread_of.most,
            )
            rows.append((words, f"{count}", *map(time_text, cells), f"{len(values)}"))
    heads = ("From, to", "Holds open", "Least", "p50", "p99", "Most", "Holds measured")
    return Table("Time of each step", heads, rows)


def _aims(samples: dict[int, list[Held]]) -> list[Aim]:
    made = []
    for words, field in _MEASURES.items():
        for count, held in samples.items():
            p99 = percentile([getattr(one, field) for one in held], 0.99)
            with_open = "with one hold open" if count == 1 else f"with {count} holds open"
            made.append(
                Aim(
                    f"{words[0].upper()}{words[1:]}, {with_open}: p99 of at most "
                    f"{time_text(_AIM_NS)}",
                    time_text(p99),
                    p99 <= _AIM_NS,
                )
            )
    return made

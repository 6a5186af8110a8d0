"""The same events as an audit log, in SQLite and in PostgreSQL, beside the trail."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench import trail_made, trail_rivals
from tests.bench.measures import digits, interleaved, spread, spread_text
from tests.bench.page import Section, Table
from tests.bench.report import Report
from tests.bench.sizes import Sizes
from tests.bench.trail_rivals import Loaded
from tests.bench.trail_shape import Shape

SECTION = Section("rivals", "The same events in other programs")


def test_the_same_events_elsewhere(sizes: Sizes, report: Report) -> None:
    """Each loads the rows of one trail, then all are asked in turns."""
    assert trail_rivals.there(), "apt-get install auditd postgresql"
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-test-rivals-"))
        place = Path(name)
        place.chmod(0o755)
        (place / "trail").mkdir()
        made = trail_made.made(place / "trail", Shape(sizes.rival_events))
        what = trail_rivals.asked(made)
        all_of = [
            stack.enter_context(trail_rivals.holdfast(made, what)),
            stack.enter_context(trail_rivals.sqlite(made, what, place)),
            stack.enter_context(trail_rivals.postgresql(made, what, place / "postgresql")),
            stack.enter_context(trail_rivals.audit(made, what, place, sizes.rival_audit_events)),
        ]
        taken: dict[tuple[str, str], list[float]] = {}
        for one in interleaved(sizes.rival_rounds, all_of):
            for question in what.questions:
                took = one.ask(question)
                if took is not None:
                    taken.setdefault((question, one.name), []).append(took)
    report.publish(SECTION, [_sizes_table(all_of), _times_table(all_of, taken)])


def _sizes_table(all_of: list[Loaded]) -> Table:
    rows = [
        (one.name, f"{one.events:,}", f"{one.load_s:,.0f} s", digits(one.bytes / one.events))
        for one in all_of
    ]
    return Table("Loaded", ("Program", "Events", "In", "Bytes an event"), rows)


def _times_table(all_of: list[Loaded], taken: dict[tuple[str, str], list[float]]) -> Table:
    questions = list(dict.fromkeys(question for question, _ in taken))
    rows = []
    for question in questions:
        cells = [
            spread_text(spread(taken[question, one.name])) if (question, one.name) in taken else "—"
            for one in all_of
        ]
        rows.append((question, *cells))
    heads = ("Question", *(one.name for one in all_of))
    return Table("Time of an answer: median (quartiles)", heads, rows)

"""docs/performance.md and the bench agree: each section has its place, and no figure is typed."""

import re

from deploy.bootstrap import packages
from tests.bench.page import COMMAND, MACHINE, PAGE, aims_table, marked, part, sections
from tests.bench.test_approvals import step_aims
from tests.layers import LAYERS

TEXT = PAGE.read_text(encoding="utf-8")
FIGURE = re.compile(r"\d[\d.,]* ?(?:ns|µs|ms|MiB|GiB|%|times)(?![\w%])")
# What is a resolution, an interval or the like, and not a measurement.
NOT_MEASURED = {"10 ms"}


def test_every_section_of_the_bench_has_its_place_on_the_page_and_no_other() -> None:
    """A module that publishes, and its markers, come and go together."""
    names = [section.name for section in sections()]
    assert len(set(names)) == len(names)
    assert sorted(marked(TEXT)) == sorted([MACHINE, *names])


def test_every_section_stands_under_its_title() -> None:
    """The title that the bench prints is the heading on the page."""
    for section in sections():
        before = TEXT[: TEXT.index(f"<!-- bench: {section.name} -->")]
        assert before.rsplit("\n## ", 1)[1].splitlines()[0] == section.title


def test_the_page_names_the_command_that_repeats_it() -> None:
    """Whoever doubts a figure can measure it."""
    assert f"    {COMMAND}\n" in TEXT


def test_no_figure_is_typed_by_hand() -> None:
    """Measurements stand between the markers only, where a run puts them."""
    prose = TEXT
    for name in marked(TEXT):
        prose = prose.replace(part(TEXT, name), "") if part(TEXT, name) else prose
    assert set(FIGURE.findall(prose)) <= NOT_MEASURED


def test_an_ordinary_run_installs_nothing_that_only_long_layers_need() -> None:
    """auditd comes to a machine only when somebody asks for the bench, or for mode audit."""
    owners = {layer.name for layer in LAYERS if set(layer.packages) & set(packages.FOR_BENCH)}
    assert owners == {"audit", "bench"}
    assert all(layer.long for layer in LAYERS if layer.name in owners)


def test_an_aim_that_is_met_at_the_median_is_missed_where_its_tail_is_too_long() -> None:
    """Both are said: the hundredth person who clicks waits as well."""
    values = [6e6] * 98 + [36e6] * 2
    median, p99 = step_aims("click, until the process runs", values, 10e6)
    assert (median.met, p99.met) == (True, False)
    assert median.words == "Click, until the process runs: at the median at most 10.0 ms"
    assert p99.words == "Click, until the process runs: at p99 at most 10.0 ms"
    assert p99.measured == "36.0 ms"
    assert "**missed**" in aims_table([median, p99]).text()

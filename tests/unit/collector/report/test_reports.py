"""Reports of the trail: the dashboard, evidence, and the pages that stand alone."""

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest

from collector.config import Trail
from collector.errors import SqlError
from collector.report.charts import Axis, Chart
from collector.report.evidence import Evidence, Finding, judge, overall
from collector.report.framework_names import Framework
from collector.report.frameworks import controls_of
from collector.report.measures import BY_ID, MEASURES
from collector.report.painter import Painter
from collector.report.period import Period
from collector.report.reports import Reports
from collector.trail.rows import Row
from collector.trail.schema import ANCHORS, CHECKPOINTS
from collector.trail.sql import Result, SqlRunner
from collector.trail.store import open_trail
from tests.support.filled_trail import (
    BEGIN_NS,
    END_NS,
    HOUR,
    add,
    fill,
    hold_at,
    lose_batches,
    release_unexplained,
    settled,
    vote_at,
)
from wire.messages import Answer

WEEK = Period(BEGIN_NS, END_NS)


@pytest.fixture
def trail(tmp_path: Path) -> "duckdb.DuckDBPyConnection":
    """Give an open trail with a week in it."""
    connection = open_trail(Trail(file=str(tmp_path / "trail.duckdb")))
    fill(connection)
    return connection


@pytest.fixture
async def reports(trail: duckdb.DuckDBPyConnection) -> AsyncIterator[Reports]:
    """Give what makes reports of it."""
    sql = SqlRunner(trail, seconds=30, workers=1)
    made = Reports(sql)
    yield made
    await made.close()
    sql.close()
    trail.close()


async def _evidence(reports: Reports, framework: Framework = Framework.SOC2) -> Evidence:
    return await reports.evidence(framework, WEEK)


def _control(evidence: Evidence, name: str) -> Finding:
    return next(one.finding for one in evidence.controls if one.id == name)


@pytest.mark.parametrize("framework", list(Framework))
def test_every_control_rests_on_measures_that_there_are(framework: Framework) -> None:
    """Each names what is beyond it, and says what was looked at where anything was."""
    for control in controls_of(framework).controls:
        assert control.beyond and bool(control.about) == bool(control.measures)
        assert set(control.measures) <= set(BY_ID)


def test_no_measure_is_left_unused() -> None:
    """Each is part of some control."""
    used = {
        name for one in Framework for each in controls_of(one).controls for name in each.measures
    }
    assert used == {measure.id for measure in MEASURES}


def test_nothing_is_ever_called_compliant() -> None:
    """The findings are three words; neither pages nor frameworks say the other one."""
    assert {one.value for one in Finding} == {"observed", "gap", "not assessed"}
    for path in Path("collector/report").rglob("*"):
        if path.suffix in (".yaml", ".html"):
            assert "complian" not in path.read_text().lower(), path


@pytest.mark.parametrize(
    ("seen", "gaps", "finding"),
    [
        (0, 0, Finding.NOT_ASSESSED),
        (3, 0, Finding.OBSERVED),
        (3, 1, Finding.GAP),
        (0, 1, Finding.GAP),
    ],
)
def test_a_measure_is_judged_by_what_there_was(seen: int, gaps: int, finding: Finding) -> None:
    """Nothing to look at is no good sign, and a gap is one without anything else."""
    assert judge(seen, gaps) is finding


def test_a_control_is_as_bad_as_its_worst_measure() -> None:
    """And one without any is not assessed."""
    assert overall([Finding.OBSERVED, Finding.GAP]) is Finding.GAP
    assert overall([Finding.NOT_ASSESSED, Finding.OBSERVED]) is Finding.OBSERVED
    assert overall([]) is Finding.NOT_ASSESSED


async def test_what_was_approved_is_counted_with_its_people(reports: Reports) -> None:
    """Figures are those of the week, and of nothing before or after it."""
    found = (await _evidence(reports)).observations
    approvals = found["approvals"]
    assert (approvals.seen, approvals.gaps, approvals.finding) == (41, 0, Finding.OBSERVED)
    assert approvals.figures["approvals"] == "33" and approvals.figures["denials"] == "8"
    assert found["permission"].figures["expired"] == "4"
    assert found["break_glass"].figures["uses"] == "1"
    assert found["break_glass"].exceptions and len(found["break_glass"].exceptions.rows) == 1
    assert found["releases"].figures["by decision"] == "32"
    before = await reports.evidence(Framework.SOC2, Period(0, BEGIN_NS))
    assert before.observations["approvals"].finding is Finding.NOT_ASSESSED


async def test_who_approves_their_own_is_a_gap(
    reports: Reports, trail: duckdb.DuckDBPyConnection
) -> None:
    """It is listed, and the control says so."""
    assert _control(await _evidence(reports), "CC6.3") is Finding.OBSERVED
    own = hold_at(70, BEGIN_NS + HOUR, "make", owner="ann@example.com")
    add(trail, *settled(own, vote_at(70, own, "ann@example.com", Answer.APPROVE, 5)))
    evidence = await _evidence(reports)
    found = evidence.observations["own_approvals"]
    assert (found.gaps, found.finding) == (1, Finding.GAP)
    assert found.exceptions and own.hold in found.exceptions.rows[0]
    assert _control(evidence, "CC6.3") is Finding.GAP


async def test_an_unexplained_release_is_a_gap(
    reports: Reports, trail: duckdb.DuckDBPyConnection
) -> None:
    """What the host calls a decision, and nobody decided."""
    hold = release_unexplained(trail)
    found = (await _evidence(reports)).observations["releases"]
    assert (found.gaps, found.finding) == (1, Finding.GAP)
    assert found.exceptions and any(hold in row for row in found.exceptions.rows)


async def test_lost_batches_and_silent_hosts_are_gaps(
    reports: Reports, trail: duckdb.DuckDBPyConnection
) -> None:
    """The one host of two that reported nothing is named."""
    found = (await _evidence(reports)).observations
    assert (found["hosts"].seen, found["hosts"].gaps) == (2, 1)
    assert found["hosts"].exceptions and found["hosts"].exceptions.rows[0][0] == "web-2"
    assert found["losses"].finding is Finding.OBSERVED
    lose_batches(trail)
    found = (await _evidence(reports)).observations
    assert found["losses"].finding is Finding.GAP
    assert found["losses"].figures["missing events"] == "20"


async def test_a_record_that_is_signed_and_kept_nowhere_else_is_a_gap(
    reports: Reports, trail: duckdb.DuckDBPyConnection
) -> None:
    """Until something outside has a checkpoint of the period."""
    assert (await _evidence(reports)).observations["checkpoints"].finding is Finding.NOT_ASSESSED
    line: dict[str, object] = {
        "previous": "0" * 64,
        "digest": "d" * 64,
        "signed_by": "k" * 64,
        "line": "{}",
    }
    add(trail, Row(CHECKPOINTS, line | {"number": 1, "time_ns": BEGIN_NS + HOUR}))
    found = (await _evidence(reports)).observations["checkpoints"]
    assert (found.seen, found.gaps, found.figures["state"]) == (1, 1, "unanchored")
    kept = {"checkpoint": 1, "anchor": "file", "receipt": "", "time_ns": BEGIN_NS + HOUR}
    add(trail, Row(ANCHORS, kept))
    found = (await _evidence(reports)).observations["checkpoints"]
    assert (found.finding, found.figures["state"]) == (Finding.OBSERVED, "anchored up to 1")


async def test_every_query_of_evidence_gives_its_figures_again(
    reports: Reports, trail: duckdb.DuckDBPyConnection
) -> None:
    """A reader may take any query from the page and run it."""
    runner = SqlRunner(trail, seconds=30, workers=1)
    for framework in Framework:
        for one in (await _evidence(reports, framework)).observations.values():
            assert one.trouble == ""
            answer = await runner.run(one.query, 1)
            named = dict(zip((name for name, _ in answer.columns), answer.rows[0], strict=True))
            assert (named["seen"] or 0, named["gaps"] or 0) == (one.seen, one.gaps)
            for listing in (one.sample, one.exceptions):
                if listing:
                    assert len((await runner.run(listing.sql, 50)).rows) == len(listing.rows)
    runner.close()


async def test_what_cannot_be_asked_is_not_assessed(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question that takes too long claims nothing, and the reason is there."""

    async def too_long(self: SqlRunner, sql: str, limit: int) -> None:
        raise SqlError("the query took longer than 1 seconds and was stopped")

    monkeypatch.setattr(SqlRunner, "run", too_long)
    evidence = await _evidence(reports)
    assert {one.finding for one in evidence.controls} == {Finding.NOT_ASSESSED}
    assert "was stopped" in evidence.observations["permission"].trouble


async def test_a_gap_stands_where_what_is_shown_of_it_cannot_be_asked(
    reports: Reports, trail: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures have counted it, and a list that takes too long does not take it back."""
    release_unexplained(trail)
    run = SqlRunner.run

    async def figures_only(self: SqlRunner, sql: str, limit: int) -> Result:
        if limit > 1:
            raise SqlError("the query took longer than 1 seconds and was stopped")
        return await run(self, sql, limit)

    monkeypatch.setattr(SqlRunner, "run", figures_only)
    evidence = await _evidence(reports)
    found = evidence.observations["releases"]
    assert (found.gaps, found.finding) == (1, Finding.GAP)
    assert "was stopped" in found.trouble
    assert _control(evidence, "CC8.1") is Finding.GAP


class _Outline(HTMLParser):
    """Finds what a page would load, and whether it has scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.ids: set[str] = set()
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "data", "action", "xlink:href"):
                self.loads.append(value or "")
            if name == "href":
                (
                    self.anchors.add((value or "")[1:])
                    if tag == "a"
                    else self.loads.append(value or "")
                )
            if name == "id":
                self.ids.add(value or "")


@pytest.mark.parametrize("framework", list(Framework))
async def test_the_page_of_evidence_stands_alone(reports: Reports, framework: Framework) -> None:
    """It loads nothing, runs nothing, and its links lead to places of its own."""
    page = await reports.evidence_page(framework, WEEK, by="ann@example.com")
    outline = _Outline()
    outline.feed(page)
    assert not outline.loads and not outline.tags & {"script", "link", "iframe", "object", "img"}
    assert len(outline.ids) == page.count(' id="')
    assert "svg" in outline.tags and outline.anchors and outline.anchors <= outline.ids
    assert "@import" not in page and not re.search(r"url\((?!#)", page)
    assert "agreed in the ticket" in page and "ann@example.com" in page


async def test_hostile_text_is_shown_and_not_obeyed(
    reports: Reports, trail: duckdb.DuckDBPyConnection
) -> None:
    """Neither as markup nor as an escape, in tables and in charts."""
    evil = hold_at(80, BEGIN_NS + HOUR, "sh", "</pre><script>alert(1)</script>\x1b[31m\u202e")
    add(trail, *settled(evil, vote_at(80, evil, "</text><script>x</script>", Answer.APPROVE, 5)))
    for page in (
        await reports.evidence_page(Framework.SOC2, WEEK, by="<b>ann</b>"),
        await reports.report_page(WEEK, by="<b>ann</b>"),
    ):
        assert "<script" not in page and "<b>ann" not in page
        assert "\x1b" not in page and "\u202e" not in page
        assert "&lt;script&gt;x&lt;/script&gt;" in page


async def test_the_dashboard_counts_what_there_is(reports: Reports) -> None:
    """Each chart adds up to what the trail has."""
    shown = {one.name: one for one in await reports.dashboard(WEEK, pictures=False)}
    assert sum(row[-1] for row in shown["holds"].rows) == 45
    assert {row[0] for row in shown["by_rule"].rows} == {"net.upload", "db.export", "pkg.install"}
    assert sum(row[-1] for row in shown["by_reviewer"].rows) == 41
    assert sorted(map(tuple, shown["grounds"].rows)) == [("break_glass", 1), ("decision", 32)]
    assert all(one.svg == "" for one in shown.values())


async def test_charts_follow_the_colours_of_the_page(reports: Reports) -> None:
    """Every colour is a name of the style sheet, so one picture serves light, dark and paper."""
    for one in await reports.dashboard(WEEK):
        assert one.svg.startswith('<svg aria-hidden="true"')
        colours = set(re.findall(r'(?:fill|stroke)="([^"]*)"', one.svg))
        assert all(
            one.startswith("var(--chart-") or one in ("none", "currentColor", "transparent")
            for one in colours
        ), colours
        # The pages' own rules about content let no style stand on an element.
        assert "style=" not in one.svg and "<style" not in one.svg


def test_long_lists_end_in_one_bar_for_the_rest() -> None:
    """What is not shown by name is still counted."""
    rows = [(f"rule-{number:02}", number) for number in range(1, 31)]
    chart = Chart(name="c", title="C", axis=Axis.NAMES, columns=("rule", "holds"), rows=rows)
    values = chart.specification()["data"]["values"]
    assert len(values) == 13 and values[-1]["x"] == "all others"
    assert sum(value["n"] for value in values) == sum(range(1, 31))


async def test_the_process_that_draws_is_made_anew_when_it_is_gone() -> None:
    """Its end costs one chart at most, and no other."""
    painter = Painter()
    chart = Chart(name="c", title="C", axis=Axis.NAMES, columns=("a", "n"), rows=[("x", 1)])
    assert "<svg" in await painter.draw(chart)
    assert painter._process is not None
    painter._process.kill()
    await painter._process.wait()
    assert "<svg" in await painter.draw(chart)
    await painter.close()


async def test_a_chart_that_takes_too_long_costs_the_picture_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log says so, and the next one is drawn."""
    painter = Painter(longest_s=0.001)
    chart = Chart(name="c", title="C", axis=Axis.NAMES, columns=("a", "n"), rows=[("x", 1)])
    assert await painter.draw(chart) == ""
    assert "chart c cannot be drawn" in caplog.text
    assert painter._process is None
    painter._longest_s = 60
    assert "<svg" in await painter.draw(chart)
    await painter.close()


@pytest.mark.parametrize(("begin", "end"), [(5, 5), (6, 5)])
def test_a_period_ends_after_it_begins(begin: int, end: int) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="ends before it begins"):
        Period(begin, end)

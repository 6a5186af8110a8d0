"""Evidence for auditors: for each control what was observed in a period, and what was not.

It says observed, gap or not assessed, and never that anything complies: that is the auditor's word.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from markupsafe import Markup

from collector.errors import SqlError
from collector.report.charts import Axis, Chart
from collector.report.framework_names import Framework
from collector.report.frameworks import Controls, controls_of
from collector.report.measures import BY_ID, ChartOf, Measure
from collector.report.painter import Painter
from collector.report.period import Period
from collector.sanitize import visible
from collector.trail.sql import Result, SqlRunner

_MOST_ROWS = 2_000
_LISTED = 50


class Finding(StrEnum):
    """What is said of a measure, and of a control."""

    OBSERVED = "observed"
    GAP = "gap"
    NOT_ASSESSED = "not assessed"


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows that a reader sees, and the SELECT that gives them again."""

    sql: str
    columns: tuple[str, ...] = ()
    rows: Sequence[Sequence[str]] = ()
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a measure came to. `trouble` says why it is not assessed where its question failed."""

    measure: Measure
    finding: Finding
    seen: int
    gaps: int
    figures: Mapping[str, str]
    query: str
    sample: Listing | None
    exceptions: Listing | None
    svg: Markup
    chart_title: str
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlEvidence:
    """One control with its finding: a gap if any measure has one, else the best that there is."""

    id: str
    name: str
    about: str
    beyond: str
    finding: Finding
    measures: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A framework's controls, and the observations they rest on, each once."""

    framework: Framework
    controls: tuple[ControlEvidence, ...]
    observations: Mapping[str, Observation]
    period: Period
    source: Controls

    def count(self, finding: Finding) -> int:
        """Return how many controls have this finding."""
        return sum(control.finding is finding for control in self.controls)


class Gatherer:
    """Asks the trail for what the controls of a framework need."""

    def __init__(self, sql: SqlRunner, painter: Painter) -> None:
        self._sql = sql
        self._painter = painter

    async def gather(self, framework: Framework, period: Period) -> Evidence:
        """Return the evidence of a period; raise TrailError, Refusal or ReportError."""
        source = controls_of(framework)
        needed = dict.fromkeys(name for one in source.controls for name in one.measures)
        found = {name: await self._observe(BY_ID[name], period) for name in needed}
        return Evidence(
            framework=framework,
            period=period,
            source=source,
            observations=found,
            controls=tuple(
                ControlEvidence(
                    id=one.id,
                    name=one.name,
                    about=one.about,
                    beyond=one.beyond,
                    measures=one.measures,
                    finding=overall(found[name].finding for name in one.measures),
                )
                for one in source.controls
            ),
        )

    async def _observe(self, measure: Measure, period: Period) -> Observation:
        query = period.sql(measure.figures)
        seen = gaps = 0
        finding = Finding.NOT_ASSESSED
        figures: dict[str, str] = {}
        sample = exceptions = None
        svg, trouble = Markup(), ""
        try:
            answer = await self._sql.run(query, 1)
            row = dict(zip((name for name, _ in answer.columns), answer.rows[0], strict=True))
            seen, gaps = int(row.pop("seen") or 0), int(row.pop("gaps") or 0)
            # It stands, whatever becomes of the rows and the chart that are shown beside it.
            finding = judge(seen, gaps)
            figures = {name.replace("_", " "): _shown(value) for name, value in row.items()}
            if measure.sample and seen:
                sample = await self._list(period.sql(measure.sample))
            if measure.exceptions:
                exceptions = await self._list(period.sql(measure.exceptions))
            if measure.chart and seen:
                svg = await self._draw(measure, measure.chart, period)
        except SqlError as error:
            # Too much for the limits of a question: no more is claimed, and the reason is shown.
            trouble = visible(str(error))
        return Observation(
            measure=measure,
            finding=finding,
            seen=seen,
            gaps=gaps,
            figures=figures,
            query=query,
            sample=sample,
            exceptions=exceptions if exceptions and exceptions.rows else None,
            svg=svg,
            chart_title=measure.chart.title if measure.chart else "",
            trouble=trouble,
        )

    async def _list(self, sql: str) -> Listing:
        found = await self._sql.run(sql, _LISTED)
        return Listing(
            sql=sql,
            columns=tuple(name.replace("_", " ") for name, _ in found.columns),
            rows=[[_shown(value) for value in row] for row in found.rows],
            truncated=found.truncated,
        )

    async def _draw(self, measure: Measure, wanted: ChartOf, period: Period) -> Markup:
        found: Result = await self._sql.run(period.sql(wanted.sql), _MOST_ROWS)
        over_time = Axis.HOURS if period.step == "hour" else Axis.DAYS
        chart = Chart(
            name=measure.id,
            title=wanted.title,
            axis=wanted.axis or over_time,
            columns=tuple(name for name, _ in found.columns),
            rows=[
                [visible(value) if isinstance(value, str) else value for value in row]
                for row in found.rows
            ],
        )
        return await self._painter.draw(chart)


def judge(seen: int, gaps: int) -> Finding:
    """Return what is said of a measure with so much to look at and so many gaps."""
    if gaps:
        return Finding.GAP
    return Finding.OBSERVED if seen else Finding.NOT_ASSESSED


def overall(findings: Iterable[Finding]) -> Finding:
    """Return what is said of a control: any gap is one; what is only partly seen is observed."""
    said = set(findings)
    for finding in (Finding.GAP, Finding.OBSERVED):
        if finding in said:
            return finding
    return Finding.NOT_ASSESSED


def _shown(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(_shown(one) for one in value)
    return visible(str(value))

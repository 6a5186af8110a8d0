"""Everything that is made of the trail for people to read, from one place."""

from markupsafe import Markup

from collector.report.charts import Chart
from collector.report.dashboard import Dashboard, Shown
from collector.report.evidence import Evidence, Gatherer
from collector.report.framework_names import Framework
from collector.report.page import PaperPages
from collector.report.painter import Painter
from collector.report.period import Period
from collector.sanitize import visible
from collector.trail.sql import SqlRunner


class Reports:
    """Makes reports; `close` ends the process that draws."""

    def __init__(self, sql: SqlRunner) -> None:
        self._painter = Painter()
        self._dashboard = Dashboard(sql, self._painter)
        self._gatherer = Gatherer(sql, self._painter)
        self._pages = PaperPages()

    async def dashboard(self, period: Period, *, pictures: bool = True) -> list[Shown]:
        """Return the charts of a period; raise SqlError, TrailError or Refusal."""
        return await self._dashboard.make(period, pictures=pictures)

    async def report_page(self, period: Period, *, by: str) -> str:
        """Return the same as one page of HTML."""
        shown = await self._dashboard.make(period)
        return self._pages.report(shown, period, by=visible(by))

    async def evidence(self, framework: Framework, period: Period) -> Evidence:
        """Return evidence; raise TrailError, Refusal or ReportError."""
        return await self._gatherer.gather(framework, period)

    async def evidence_page(self, framework: Framework, period: Period, *, by: str) -> str:
        """Return the same as one page of HTML."""
        found = await self._gatherer.gather(framework, period)
        return self._pages.evidence(found, by=visible(by))

    async def draw(self, chart: Chart) -> Markup:
        """Return a chart as an `svg` element; empty if it cannot be drawn."""
        return await self._painter.draw(chart)

    async def close(self) -> None:
        """End the process that draws."""
        await self._painter.close()

"""The dashboard: what was held and decided, over time and by whom; a chart is one SELECT."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from collector.report.charts import Axis, Chart
from collector.report.painter import Painter
from collector.report.period import Period
from collector.sanitize import visible
from collector.trail.sql import SqlRunner

_MOST_ROWS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One chart of the dashboard, and the SELECT behind it."""

    name: str
    title: str
    sql: str
    by_time: bool = False
    unit: str = ""
    lines: bool = False


_BY = """
SELECT $column, state, count(*) AS holds FROM requests
WHERE $held AND $column <> ''
GROUP BY ALL ORDER BY holds DESC, 1, 2"""


def _by(column: str) -> str:
    return _BY.replace("$column", column)


QUESTIONS: tuple[Question, ...] = (
    Question(
        name="holds",
        title="Holds over time, by how they ended",
        by_time=True,
        sql="SELECT $begun AS time, state, count(*) AS holds FROM requests\n"
        "WHERE $held\nGROUP BY ALL ORDER BY ALL",
    ),
    Question(
        name="time_to_decision",
        title="Time to a decision",
        by_time=True,
        unit="seconds",
        lines=True,
        sql="SELECT $begun AS time, unnest(['median', '90 of 100']) AS which,\n"
        "       unnest([round(median($seconds), 1),\n"
        "               round(quantile_cont($seconds, 0.9), 1)]) AS seconds\n"
        "FROM requests WHERE $held AND decided_by <> ''\nGROUP BY time ORDER BY ALL",
    ),
    Question(name="by_rule", title="Holds by rule", sql=_by("rule")),
    Question(name="by_host", title="Holds by host", sql=_by("host_name")),
    Question(name="by_subject", title="Holds by subject", sql=_by("subject")),
    Question(
        name="by_reviewer",
        title="Answers by reviewer",
        sql='SELECT "by" AS reviewer, answer, count(*) AS answers FROM votes\n'
        "WHERE time_ns >= $from_ns AND time_ns < $to_ns\n"
        "GROUP BY ALL ORDER BY answers DESC, 1, 2",
    ),
    Question(
        name="grounds",
        title="Releases by their ground",
        sql="SELECT coalesce(ground, 'none') AS ground, count(*) AS releases FROM requests\n"
        "WHERE outcome = 'released' AND outcome_ns >= $from_ns AND outcome_ns < $to_ns\n"
        "GROUP BY ALL ORDER BY releases DESC, 1",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A chart with its answer; `svg` is empty where there is nothing to show."""

    name: str
    title: str
    sql: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    truncated: bool
    svg: Markup


class Dashboard:
    """Asks and draws."""

    def __init__(self, sql: SqlRunner, painter: Painter) -> None:
        self._sql = sql
        self._painter = painter

    async def make(self, period: Period, *, pictures: bool = True) -> list[Shown]:
        """Return every chart of the period, its texts fit to be shown.

        Raises SqlError, TrailError or Refusal.
        """
        return [await self._one(question, period, pictures) for question in QUESTIONS]

    async def _one(self, question: Question, period: Period, pictures: bool) -> Shown:
        sql = period.sql(question.sql)
        found = await self._sql.run(sql, _MOST_ROWS)
        columns = tuple(name for name, _ in found.columns)
        rows = [
            tuple(visible(value) if isinstance(value, str) else value for value in row)
            for row in found.rows
        ]
        over_time = Axis.HOURS if period.step == "hour" else Axis.DAYS
        chart = Chart(
            name=question.name,
            title=question.title,
            axis=over_time if question.by_time else Axis.NAMES,
            columns=columns,
            rows=rows,
            unit=question.unit,
            lines=question.lines,
        )
        return Shown(
            name=question.name,
            title=question.title,
            sql=sql,
            columns=columns,
            rows=rows,
            truncated=found.truncated,
            svg=await self._painter.draw(chart) if pictures else Markup(),
        )

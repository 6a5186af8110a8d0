"""The query page: one SELECT over the trail, its answer as a table and a chart, questions to keep.

A question stands in the address, so that a link shares it. One that comes from elsewhere is shown
first and runs when the reader says so.
"""

from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from collector.errors import Refusal, SqlError
from collector.identity.questions import SavedQuestion
from collector.identity.roles import Role
from collector.identity.sessions import Session
from collector.report.charts import Axis
from collector.report.plot import plot
from collector.sanitize import visible
from collector.trail.question import LONGEST_SQL
from collector.trail.questions import QUESTIONS
from collector.trail.sql import Result
from collector.web.desk import Desk, DeskDep, FormDep, PersonDep
from collector.web.pages import Notice, notice_of

router = APIRouter(include_in_schema=False)

_MOST_ROWS = 1000
Sql = Annotated[str, Query(max_length=LONGEST_SQL)]
Id = Annotated[str, Query(max_length=64)]


@router.get("/query")
async def query(
    request: Request,
    desk: DeskDep,
    session: PersonDep,
    sql: Sql = "",
    question: Id = "",
    saved: Id = "",
) -> Response:
    """Show the page, and the answer if there is a question."""
    title, text = "", sql.strip()
    if question in QUESTIONS:
        title, text = QUESTIONS[question].title, QUESTIONS[question].sql
    if saved:
        kept = await desk.services.questions.find(saved)
        title, text = kept.name, kept.sql
    return await _page(desk, session, text, title=title, run=_from_here(request))


@router.post("/query/saved")
async def save(
    desk: DeskDep,
    session: FormDep,
    sql: Annotated[str, Form(max_length=LONGEST_SQL)] = "",
    name: Annotated[str, Form(max_length=400)] = "",
) -> Response:
    """Keep a question for everybody."""
    text = sql.strip()
    try:
        # What does not run is of no use to anybody.
        await _answer(desk, text, 1)
        kept = await desk.services.questions.save(session.caller, name, text)
    except Refusal as refusal:
        return await _page(desk, session, text, notice=notice_of(refusal), status=refusal.status)
    return RedirectResponse(f"/query?{urlencode({'saved': kept.id})}", HTTPStatus.SEE_OTHER)


@router.post("/query/saved/{question}/remove")
async def remove(question: str, desk: DeskDep, session: FormDep) -> Response:
    """Remove a question that the reader has saved."""
    try:
        await desk.services.questions.remove(session.caller, question)
    except Refusal as refusal:
        return await _page(desk, session, "", notice=notice_of(refusal), status=refusal.status)
    return RedirectResponse("/query", HTTPStatus.SEE_OTHER)


async def _page(
    desk: Desk,
    session: Session,
    text: str,
    *,
    title: str = "",
    run: bool = False,
    notice: Notice | None = None,
    status: int = 200,
) -> Response:
    answer: Result | None = None
    svg: Any = ""
    if text and run:
        try:
            answer = await _answer(desk, text, _MOST_ROWS)
            svg = await _picture(desk, answer)
        except Refusal as refusal:
            notice, status = notice_of(refusal), refusal.status
    return desk.pages.render(
        "query",
        session=session,
        status=status,
        notice=notice,
        sql=text,
        title=title,
        waits=bool(text) and not run and notice is None,
        answer=answer,
        rows=[[_shown(value) for value in row] for row in answer.rows] if answer else [],
        svg=svg,
        share="/query?" + urlencode({"sql": text}) if text else "",
        ready=QUESTIONS,
        saved=[(one, _may_remove(session, one)) for one in await desk.services.questions.all()],
    )


async def _answer(desk: Desk, text: str, limit: int) -> Result:
    """Return the answer; raise Refusal, in DuckDB's words where the question is at fault."""
    await desk.services.book.caught_up()
    try:
        return await desk.services.sql.run(text, limit)
    except SqlError as error:
        raise Refusal(
            422, "bad_sql", str(error), "write one SELECT; the tables and views stand below"
        ) from error


async def _picture(desk: Desk, answer: Result) -> Any:
    chart = plot(answer.columns, answer.rows)
    if chart is None:
        return ""
    if chart.axis is Axis.NAMES or len(chart.columns) > 2:
        rows = [
            [visible(value) if isinstance(value, str) else value for value in row]
            for row in chart.rows
        ]
        chart = chart.with_rows(rows)
    return await desk.services.reports.draw(chart)


def _from_here(request: Request) -> bool:
    """Say whether the reader asks: by our form, or by the address itself; not by a foreign link."""
    return request.headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def _may_remove(session: Session, question: SavedQuestion) -> bool:
    return session.caller.role is Role.ADMIN or question.by == session.caller.name


def _shown(value: Any) -> str:
    match value:
        case None:
            return ""
        case list():
            return ", ".join(_shown(one) for one in value)
    return visible(str(value))

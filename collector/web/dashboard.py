"""The dashboard: holds and decisions of a period as charts, and evidence to take along."""

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from collector.api.reports import alone
from collector.report.framework_names import Framework
from collector.report.frameworks import controls_of
from collector.report.period import Period
from collector.web.desk import DeskDep, PersonDep

router = APIRouter(include_in_schema=False)

_DAY_NS = 86_400 * 10**9
_DAYS = {"day": 1, "week": 7, "month": 30, "quarter": 91, "year": 365}
Length = Literal["day", "week", "month", "quarter", "year"]


@router.get("/dashboard")
async def dashboard(desk: DeskDep, session: PersonDep, of: Length = "month") -> Response:
    """Show the charts of the time up to now."""
    async with desk.searching:
        shown = await desk.services.reports.dashboard(_until_now(of))
    return desk.pages.render(
        "dashboard",
        session=session,
        shown=shown,
        of=of,
        lengths=tuple(_DAYS),
        frameworks=[(one, controls_of(one).name) for one in Framework],
    )


@router.get("/dashboard/evidence")
async def evidence(
    desk: DeskDep,
    session: PersonDep,
    framework: Framework,
    of: Annotated[Length, Query()] = "quarter",
) -> Response:
    """Give the evidence of the time up to now as a page to keep."""
    async with desk.searching:
        page = await desk.services.reports.evidence_page(
            framework, _until_now(of), by=session.caller.name
        )
    return alone(page, f"holdfast-evidence-{framework.value}")


def _until_now(of: Length) -> Period:
    now = time.time_ns()
    return Period(now - _DAYS[of] * _DAY_NS, now)

"""Routes for what is made of the trail: the dashboard, and evidence for auditors."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, Response

from collector.api.errors import documented
from collector.api.fields import Time
from collector.api.models_reports import (
    ChartOut,
    ControlOut,
    EvidenceOut,
    ObservationOut,
    PeriodOut,
    ReportOut,
    RowsOut,
)
from collector.api.requests import to_ns
from collector.api.services import ServicesDep, TrailReaderDep
from collector.errors import Refusal
from collector.report.evidence import Listing, Observation
from collector.report.framework_names import Framework
from collector.report.period import Period

router = APIRouter(tags=["trail"])

_MONTH_NS = 30 * 86_400 * 10**9
_LAST_NS = 253_402_300_799 * 10**9  # the end of the year 9999
# A page that stands alone: its own style, nothing from anywhere, and no script.
_ALONE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_PAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/html": {}}, "description": "one page that stands alone"}
}

Since = Annotated[Time | None, Query(description="its beginning; 30 days before the end if absent")]
Until = Annotated[Time | None, Query(description="its end, not included; now if absent")]


@router.get(
    "/trail/report", summary="Holds and decisions of a period", responses=documented(401, 403, 422)
)
async def report(
    _: TrailReaderDep, services: ServicesDep, since: Since = None, until: Until = None
) -> ReportOut:
    """Return the charts of the dashboard as tables."""
    period = period_of(since, until)
    await services.book.caught_up()
    shown = await services.reports.dashboard(period, pictures=False)
    return ReportOut(
        period=_period(period),
        charts=[
            ChartOut(
                name=one.name,
                title=one.title,
                sql=one.sql,
                columns=list(one.columns),
                rows=[list(row) for row in one.rows],
                truncated=one.truncated,
            )
            for one in shown
        ],
    )


@router.get(
    "/trail/report.html",
    summary="The same as a page",
    response_class=Response,
    responses=documented(401, 403, 422) | _PAGE,
)
async def report_page(
    caller: TrailReaderDep, services: ServicesDep, since: Since = None, until: Until = None
) -> HTMLResponse:
    """Return the dashboard as one page of HTML that stands alone and prints well."""
    period = period_of(since, until)
    await services.book.caught_up()
    return alone(await services.reports.report_page(period, by=caller.name), "holdfast-report")


@router.get(
    "/trail/evidence",
    summary="What was observed for each control of a framework",
    responses=documented(401, 403, 422),
)
async def evidence(
    framework: Framework,
    _: TrailReaderDep,
    services: ServicesDep,
    since: Since = None,
    until: Until = None,
) -> EvidenceOut:
    """Return for each control what was observed in the period, with figures, rows and queries."""
    period = period_of(since, until)
    await services.book.caught_up()
    found = await services.reports.evidence(framework, period)
    return EvidenceOut(
        framework=framework.value,
        name=found.source.name,
        edition=found.source.edition,
        period=_period(period),
        controls=[
            ControlOut(
                id=one.id,
                name=one.name,
                finding=one.finding,
                about=one.about,
                beyond=one.beyond,
                measures=list(one.measures),
            )
            for one in found.controls
        ],
        observations=[_observation(one) for one in found.observations.values()],
    )


@router.get(
    "/trail/evidence.html",
    summary="The same as a page",
    response_class=Response,
    responses=documented(401, 403, 422) | _PAGE,
)
async def evidence_page(
    framework: Framework,
    caller: TrailReaderDep,
    services: ServicesDep,
    since: Since = None,
    until: Until = None,
) -> HTMLResponse:
    """Return evidence as one page of HTML that stands alone and prints well."""
    period = period_of(since, until)
    await services.book.caught_up()
    page = await services.reports.evidence_page(framework, period, by=caller.name)
    return alone(page, f"holdfast-evidence-{framework.value}")


def period_of(since: Time | None, until: Time | None) -> Period:
    """Return the period that was asked for; raise Refusal 422 if it cannot be one."""
    to_ns_ = to_ns(until)
    end = time.time_ns() if to_ns_ is None else to_ns_
    begin = to_ns(since)
    begin = end - _MONTH_NS if begin is None else begin
    if not 0 <= begin < end <= _LAST_NS:
        raise Refusal(
            422,
            "validation",
            "the period ends before it begins, or is not between the years 1970 and 9999",
            "give `since` before `until`",
        )
    return Period(begin, end)


def alone(page: str, name: str) -> HTMLResponse:
    """Return a page that stands alone, to be kept as a file of this name."""
    disposition = f'attachment; filename="{name}.html"'
    return HTMLResponse(page, headers=_ALONE | {"Content-Disposition": disposition})


def _period(period: Period) -> PeriodOut:
    return PeriodOut(from_ns=period.from_ns, to_ns=period.to_ns)


def _observation(one: Observation) -> ObservationOut:
    return ObservationOut(
        measure=one.measure.id,
        title=one.measure.title,
        says=one.measure.says,
        finding=one.finding,
        seen=one.seen,
        gaps=one.gaps,
        figures=dict(one.figures),
        query=one.query,
        sample=_rows(one.sample),
        exceptions=_rows(one.exceptions),
        trouble=one.trouble,
    )


def _rows(found: Listing | None) -> RowsOut | None:
    if found is None:
        return None
    return RowsOut(
        sql=found.sql,
        columns=list(found.columns),
        rows=[list(row) for row in found.rows],
        truncated=found.truncated,
    )

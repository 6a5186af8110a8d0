"""Grants and quarantines: what is in force, what was, and the forms that give and end them."""

import asyncio
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query
from fastapi.responses import RedirectResponse, Response

from collector.api.models_orders import QuarantineOut
from collector.api.orders import grant_out, quarantine_out
from collector.approvals.checks import check_decides
from collector.approvals.record import RequestState
from collector.errors import Refusal
from collector.identity.sessions import Session
from collector.orders.ledger import GrantState
from collector.web.desk import Desk, DeskDep, FormDep, PersonDep
from collector.web.pages import Notice, notice_of

router = APIRouter(include_in_schema=False)

_MOST = 200
_VIA = "web"
Text = Annotated[str, Query(max_length=400)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A quarantine as somebody asks for it; no host means everywhere."""

    subject: str = ""
    host: str = ""
    reason: str = ""


@router.get("/grants")
async def grants(desk: DeskDep, session: PersonDep, show: Literal["all", ""] = "") -> Response:
    """List grants, newest first."""
    return _grants(desk, session, everything=show == "all")


@router.post("/grants/{grant_id}/revoke")
async def revoke(
    grant_id: str, desk: DeskDep, session: FormDep, reason: Annotated[str, Form()] = ""
) -> Response:
    """End a grant."""
    try:
        await desk.services.orders.revoke(session.caller, grant_id, reason=reason, via=_VIA)
    except Refusal as refusal:
        return _grants(desk, session, refusal=refusal)
    return RedirectResponse("/grants", HTTPStatus.SEE_OTHER)


@router.get("/quarantines")
async def quarantines(
    desk: DeskDep,
    session: PersonDep,
    show: Literal["all", ""] = "",
    subject: Text = "",
    host: Text = "",
) -> Response:
    """List quarantines, newest first, with the form for another one."""
    wanted = Wanted(subject, host)
    return await _quarantines(desk, session, wanted, everything=show == "all")


@router.get("/quarantines/new")
async def confirm(
    desk: DeskDep,
    session: PersonDep,
    subject: Text = "",
    host: Text = "",
    reason: Annotated[str, Query(max_length=4000)] = "",
) -> Response:
    """Say what a quarantine would do before anybody sends it; this does nothing."""
    wanted = Wanted(subject.strip(), host.strip(), reason.strip())
    try:
        check_decides(session.caller)
        await desk.services.orders.check_target(wanted.subject, wanted.host or None)
        if not wanted.reason:
            raise Refusal(422, "reason_required", "a quarantine asks for a reason", "say why")
    except Refusal as refusal:
        return await _quarantines(desk, session, wanted, refusal=refusal)
    return desk.pages.render(
        "quarantine",
        session=session,
        wanted=wanted,
        hosts=len(await asyncio.to_thread(desk.services.names.all)),
        waiting=await _waiting(desk, wanted),
    )


@router.post("/quarantines")
async def quarantine(
    desk: DeskDep,
    session: FormDep,
    subject: Annotated[str, Form()] = "",
    host: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Stop a subject."""
    wanted = Wanted(subject.strip(), host.strip(), reason.strip())
    try:
        await desk.services.orders.quarantine(
            session.caller, wanted.subject, wanted.host or None, reason=wanted.reason, via=_VIA
        )
    except Refusal as refusal:
        return await _quarantines(desk, session, wanted, refusal=refusal)
    return RedirectResponse("/quarantines", HTTPStatus.SEE_OTHER)


@router.post("/quarantines/{quarantine_id}/lift")
async def lift(
    quarantine_id: str, desk: DeskDep, session: FormDep, reason: Annotated[str, Form()] = ""
) -> Response:
    """Let a subject go on."""
    try:
        await desk.services.orders.lift(session.caller, quarantine_id, reason=reason, via=_VIA)
    except Refusal as refusal:
        return await _quarantines(desk, session, Wanted(), refusal=refusal)
    return RedirectResponse("/quarantines", HTTPStatus.SEE_OTHER)


@router.get("/grants/{_}/revoke")
async def back_to_grants(_: str) -> Response:
    """Lead whoever opens the address of a form to its page."""
    return RedirectResponse("/grants", HTTPStatus.SEE_OTHER)


@router.get("/quarantines/{_}/lift")
async def back_to_quarantines(_: str) -> Response:
    """Lead whoever opens the address of a form to its page."""
    return RedirectResponse("/quarantines", HTTPStatus.SEE_OTHER)


def _grants(
    desk: Desk, session: Session, *, everything: bool = False, refusal: Refusal | None = None
) -> Response:
    now_ns = time.time_ns()
    found = [
        one
        for one in desk.services.issuer.ledger.grants()
        if everything or one.state(now_ns) is GrantState.IN_FORCE
    ]
    return desk.pages.render(
        "grants",
        session=session,
        notice=_notice(refusal, "/grants"),
        status=refusal.status if refusal else 200,
        grants=[grant_out(desk.services, one) for one in found[:_MOST]],
        more=max(0, len(found) - _MOST),
        everything=everything,
    )


async def _quarantines(
    desk: Desk,
    session: Session,
    wanted: Wanted,
    *,
    everything: bool = False,
    refusal: Refusal | None = None,
) -> Response:
    services = desk.services
    found = [one for one in services.issuer.ledger.quarantines() if everything or not one.lifted]
    shown: list[QuarantineOut] = [quarantine_out(services, one) for one in found[:_MOST]]
    subjects = {name for row in await services.reader.hosts() for name in row["subjects"] or ()}
    enrolled = await asyncio.to_thread(services.names.all)
    return desk.pages.render(
        "quarantines",
        session=session,
        notice=_notice(refusal, "/quarantines"),
        status=refusal.status if refusal else 200,
        quarantines=shown,
        more=max(0, len(found) - _MOST),
        everything=everything,
        wanted=wanted,
        subjects=sorted(subjects),
        hosts=sorted(host.name for host in enrolled),
    )


async def _waiting(desk: Desk, wanted: Wanted) -> int:
    """Return how many requests of the subject wait, which the order would deny."""
    names = desk.services.names
    host = await asyncio.to_thread(names.find, wanted.host) if wanted.host else None
    return sum(
        one.state is RequestState.OPEN
        and one.opened.act.subject == wanted.subject
        and host in (None, one.opened.host)
        for one in desk.services.book.register.unfinished()
    )


def _notice(refusal: Refusal | None, back: str) -> Notice | None:
    return None if refusal is None else notice_of(refusal, back=back)

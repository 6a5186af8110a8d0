"""One request: its card, its history, what else the session did, the answer and the comments."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from time import time_ns as now_ns
from typing import Annotated, Literal
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Form
from fastapi.responses import RedirectResponse, Response

from collector import reasons
from collector.approvals.capped import CappedSessions
from collector.approvals.checks import may_break_glass
from collector.approvals.listing import list_records
from collector.approvals.record import Record, RequestState
from collector.capped_card import state_words
from collector.errors import Refusal
from collector.identity.sessions import Session
from collector.trail.reader import EventFilter, RequestFilter
from collector.web.desk import Desk, DeskDep, FormDep, PersonDep
from collector.web.happenings import Happening, happening
from collector.web.pages import Notice, notice_of
from collector.web.request_view import request_view
from collector.web.rows import Row
from collector.web.settings import quarantine_url
from collector.web.time_form import NO_TIME, TimeForm, time_form
from collector.web.timeline import timeline
from wire.messages import Answer

router = APIRouter(prefix="/requests", include_in_schema=False)

_EVENTS = 20
_OTHERS = 10


@dataclass(frozen=True, slots=True)
class Typed:
    """What was in the form when it was refused; nobody types it twice."""

    answer: str = ""
    picked: str = ""
    reason: str = ""
    comment: str = ""
    emergency: str = ""
    time: TimeForm = NO_TIME


@dataclass(frozen=True, slots=True)
class Activity:
    """What else the AI session did."""

    events: list[Happening]
    more_events: bool
    requests: list[Row]


@router.get("/{request_id}")
async def show_request(
    request_id: str,
    desk: DeskDep,
    session: PersonDep,
    answer: Literal["approve", "deny", ""] = "",
) -> Response:
    """Show a request; `answer` says which way the reader leans, and decides nothing."""
    record = await desk.services.book.resolve(request_id)
    return await _page(desk, session, record, Typed(answer=answer))


@router.post("/{request_id}/decision")
async def decide(
    request_id: str,
    desk: DeskDep,
    session: FormDep,
    answer: Annotated[Answer, Form()],
    digest: Annotated[str, Form()],
    picked: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
    card: Annotated[str, Form()] = "",
    time: Annotated[TimeForm, Depends(time_form)] = NO_TIME,
) -> Response:
    """Answer about the act that the form was shown with; a refusal shows the page as it is now."""
    record = await desk.services.book.resolve(request_id)
    why = reasons.joined(picked, reason)
    try:
        if answer is Answer.APPROVE and time.wanted:
            await desk.services.issuer.approve_for_a_time(
                session.caller,
                record,
                time.terms(),
                reason=why,
                digest=digest,
                via="web",
                card=card,
            )
        else:
            await desk.services.decider.decide(
                session.caller,
                record,
                answer=answer,
                reason=why,
                digest=digest,
                via="web",
                card=card,
            )
    except Refusal as refusal:
        typed = Typed(answer.value, picked, reason, time=time)
        return await _refused(desk, session, record, typed, refusal)
    return RedirectResponse(f"/requests/{record.id}", HTTPStatus.SEE_OTHER)


@router.post("/{request_id}/break-glass")
async def break_glass(
    request_id: str,
    desk: DeskDep,
    session: FormDep,
    digest: Annotated[str, Form()],
    reason: Annotated[str, Form()] = "",
    card: Annotated[str, Form()] = "",
) -> Response:
    """Release in an emergency, without those whom the policy asks."""
    record = await desk.services.book.resolve(request_id)
    try:
        await desk.services.decider.break_glass(
            session.caller, record, reason=reason, digest=digest, via="web", card=card
        )
    except Refusal as refusal:
        return await _refused(desk, session, record, Typed(emergency=reason), refusal)
    return RedirectResponse(f"/requests/{record.id}", HTTPStatus.SEE_OTHER)


@router.post("/{request_id}/comments")
async def comment(
    request_id: str,
    desk: DeskDep,
    session: FormDep,
    text: Annotated[str, Form()] = "",
) -> Response:
    """Leave a remark that decides nothing."""
    record = await desk.services.book.resolve(request_id)
    try:
        await desk.services.decider.comment(session.caller, record, text=text, via="web")
    except Refusal as refusal:
        return await _refused(desk, session, record, Typed(comment=text), refusal)
    return RedirectResponse(f"/requests/{record.id}#history", HTTPStatus.SEE_OTHER)


@router.get("/{request_id}/{_}")
async def back_to_request(
    request_id: str, _: Literal["decision", "comments", "break-glass"]
) -> Response:
    """Lead whoever opens the address of a form to the page that it is on."""
    return RedirectResponse(f"/requests/{quote(request_id, safe='')}", HTTPStatus.SEE_OTHER)


async def _refused(
    desk: Desk,
    session: Session,
    record: Record,
    typed: Typed,
    refusal: Refusal,
) -> Response:
    record = await desk.services.book.get(record.id) or record
    back = f"/requests/{record.id}" + (f"?answer={typed.answer}" if typed.answer else "")
    notice = notice_of(refusal, back=back)
    return await _page(desk, session, record, typed, notice=notice, status=refusal.status)


async def _page(
    desk: Desk,
    session: Session,
    record: Record,
    typed: Typed,
    *,
    notice: Notice | None = None,
    status: int = 200,
) -> Response:
    act = record.opened.act
    applied = desk.services.policies.apply(record)
    out = desk.services.shower.show(record, session.caller, with_card=True)
    capped = CappedSessions(desk.services.book).of(record)
    return desk.pages.render(
        "request",
        session=session,
        status=status,
        notice=notice,
        view=request_view(record, out),
        row=desk.rows.row(record, session.caller),
        history=timeline(record),
        others=await _session(desk, session, record),
        session_link="/search?"
        + urlencode({"session": act.session, "host": record.opened.host, "since": "always"}),
        next_waiting=_next(desk, record),
        quarantine=_quarantine(desk, record),
        capped=capped,
        capped_words=state_words(capped) if capped else "",
        typed=typed,
        limits=desk.services.issuer.limits,
        breaks_glass=may_break_glass(record, session.caller, applied, now_ns()),
        for_approval=reasons.FOR_APPROVAL,
        for_denial=reasons.FOR_DENIAL,
    )


async def _session(desk: Desk, session: Session, record: Record) -> Activity:
    services, act = desk.services, record.opened.act
    host = record.opened.host
    events, listed = await asyncio.gather(
        services.reader.events(EventFilter(host=host, session=act.session, limit=_EVENTS)),
        list_records(
            services.book,
            services.reader,
            RequestFilter(host=host, session=act.session, limit=_OTHERS + 1),
        ),
    )
    name = services.names.name(record.opened.host, record.opened.host_name)
    others = [one for one in listed.records if one.id != record.id][:_OTHERS]
    return Activity(
        events=[happening(event, name) for event in events[:_EVENTS]],
        more_events=len(events) > _EVENTS,
        requests=[desk.rows.row(one, session.caller) for one in others],
    )


def _quarantine(desk: Desk, record: Record) -> str:
    """Return the form that stops the subject on this host; empty for an ask, which has neither."""
    opened = record.opened
    if record.is_ask:
        return ""
    return quarantine_url(
        "", opened.act.subject, desk.services.names.name(opened.host, opened.host_name)
    )


def _next(desk: Desk, record: Record) -> str:
    """Return where the request is that has waited longest, but for this one; empty if none."""
    newest_first = desk.services.book.register.requests()
    waiting = (one.id for one in reversed(newest_first) if one.state is RequestState.OPEN)
    return next((f"/requests/{one}" for one in waiting if one != record.id), "")

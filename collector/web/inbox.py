"""The inbox: what waits for an answer, live; and several requests looked at and decided at once."""

import asyncio
import json
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from collector import reasons
from collector.api.events_stream import EventStream
from collector.api.requests import check_room
from collector.approvals.capped import CappedSessions, named_by
from collector.approvals.record import Record, RequestState
from collector.errors import Refusal
from collector.identity.sessions import Session
from collector.web.capped_rows import CappedRow, capped_row
from collector.web.desk import Desk, DeskDep, FormDep, PersonDep, session_of
from collector.web.pages import Notice, notice_of
from collector.web.request_view import RequestView, request_view
from collector.web.results import Result
from collector.web.rows import BLANK, Row
from collector.web.words import guarantee
from wire.messages import Answer

router = APIRouter(include_in_schema=False)

AT_ONCE = 50
_SHOWN = 200


@router.get("/")
async def inbox(
    desk: DeskDep, session: PersonDep, page: Annotated[int, Query(ge=1)] = 1
) -> Response:
    """Show what waits, the least time left first."""
    waiting = _waiting(desk)
    shown = waiting[(page - 1) * _SHOWN : page * _SHOWN]
    return desk.pages.render(
        "inbox",
        session=session,
        rows=[desk.rows.row(record, session.caller) for record in shown],
        capped=[
            capped_row(one, desk.services.names)
            for one in CappedSessions(desk.services.book).alive()
        ],
        blank_capped=CappedRow(id=""),
        waiting=len(waiting),
        first=(page - 1) * _SHOWN + 1,
        number=page,
        more=len(waiting) > page * _SHOWN,
        at_once=AT_ONCE,
        blank=BLANK,
    )


@router.get("/live")
async def live(request: Request, desk: DeskDep, session: PersonDep) -> Response:
    """Send each open request as a row, then `ready`, then each request that changes."""
    who = f"page of {session.caller.token}"

    async def still_valid() -> bool:
        return await session_of(request, desk) is not None

    return EventStream(
        desk.services.book,
        queue=desk.services.stream_queue,
        show=lambda record: _json(desk.rows.row(record, session.caller)),
        beside=_Sessions(desk).changed,
        still_valid=still_valid,
        who=who,
        admit=lambda: check_room(desk.services, who),
    )


@router.get("/review")
async def review(
    desk: DeskDep,
    session: PersonDep,
    chosen: Annotated[list[str] | None, Query(alias="request")] = None,
    answer: Literal["approve", "deny", ""] = "",
) -> Response:
    """Show every chosen request in full, with one form that answers them all."""
    if not chosen:
        return RedirectResponse("/", HTTPStatus.SEE_OTHER)
    return _review_page(desk, session, await _resolved(desk, chosen), answer=answer)


@router.get("/decisions")
async def back_to_inbox() -> Response:
    """Lead whoever opens the address of the form for several to the inbox."""
    return RedirectResponse("/", HTTPStatus.SEE_OTHER)


@router.post("/decisions")
async def decide_several(
    desk: DeskDep,
    session: FormDep,
    acts: Annotated[list[str], Form()],
    answer: Annotated[Answer, Form()],
    picked: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Answer each request by itself; one that is refused keeps no other from its answer.

    `acts` are "request:digest:card" of what the page has shown.
    """
    shown = {act.partition(":")[0]: act.partition(":")[2] for act in acts}
    # All are found before any is answered: a form that names none of ours does nothing.
    records = await _resolved(desk, list(shown))

    async def decide(record: Record) -> Result:
        digest, _, card = shown[record.id].partition(":")
        try:
            record = await desk.services.decider.decide(
                session.caller,
                record,
                answer=answer,
                reason=reasons.joined(picked, reason),
                digest=digest,
                via="web",
                card=card,
            )
            notice = Notice(_done(record), "", good=True)
        except Refusal as refusal:
            notice = notice_of(refusal, back="/")
        return Result(desk.rows.row(record, session.caller), notice)

    results = await asyncio.gather(*map(decide, records))
    refused = sum(not result.notice.good for result in results)
    return desk.pages.render(
        "results", session=session, results=results, refused=refused, answer=answer.value
    )


class _Sessions:
    """The sessions at their limit, for one page that follows them."""

    def __init__(self, desk: Desk) -> None:
        self._names = desk.services.names
        self._sessions = CappedSessions(desk.services.book)

    def changed(self, record: Record) -> list[str]:
        """Return the lines that are others now that a request has changed."""
        touched = self._sessions.touched(record)
        alive = {one.id: one for one in self._sessions.alive()} if touched else {}
        lines = [
            capped_row(alive[one], self._names)
            if one in alive
            else CappedRow(id=named_by(one) or "", over=True)
            for one in touched
        ]
        return [json.dumps(asdict(line)) for line in lines]


def _review_page(desk: Desk, session: Session, records: list[Record], *, answer: str) -> Response:
    views: list[RequestView] = []
    for record in records:
        out = desk.services.shower.show(record, session.caller, with_card=True)
        views.append(request_view(record, out))
    able = [view for view in views if view.out.may_decide.allowed]
    return desk.pages.render(
        "review",
        session=session,
        views=able,
        barred=[view for view in views if not view.out.may_decide.allowed],
        answer=answer,
        reason="",
        for_approval=reasons.FOR_APPROVAL,
        for_denial=reasons.FOR_DENIAL,
        guarantee_words=guarantee,
        needs_reason=any(view.out.policy.reason_required for view in able),
    )


async def _resolved(desk: Desk, chosen: list[str]) -> list[Record]:
    if len(chosen) > AT_ONCE:
        raise Refusal(
            422,
            "too_many",
            f"{len(chosen)} requests are chosen, more than {AT_ONCE}",
            "choose fewer; the others can follow",
        )
    return [await desk.services.book.resolve(one) for one in dict.fromkeys(chosen)]


def _waiting(desk: Desk) -> list[Record]:
    """Return what nobody has answered, as the inbox has it: the least time left first."""
    waiting = (
        one for one in desk.services.book.register.requests() if one.state is RequestState.OPEN
    )
    return sorted(waiting, key=_urgency)


def _urgency(record: Record) -> tuple[bool, int, int, str]:
    opened = record.opened
    return opened.deadline_ns == 0, opened.deadline_ns, opened.opened_ns, record.id


def _done(record: Record) -> str:
    if record.state is RequestState.OPEN:
        return "Your vote is stored; the request waits for more"
    return f"{record.state.value.capitalize()}; waiting for the host to confirm"


def _json(row: Row) -> str:
    return json.dumps(asdict(row))

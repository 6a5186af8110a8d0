"""The page of an AI session at its limit: what waits, what was denied, and to deny all of it."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from collector import reasons
from collector.approvals.capped import Capped, CappedSessions
from collector.approvals.deny_session import Denied, deny_session
from collector.errors import Refusal
from collector.identity.sessions import Session
from collector.web.desk import Desk, DeskDep, FormDep, PersonDep
from collector.web.pages import Notice, notice_of
from collector.web.results import Result
from collector.web.settings import quarantine_url

router = APIRouter(prefix="/sessions", include_in_schema=False)

_SHOWN = 200


@router.get("/{name}")
async def show(name: str, desk: DeskDep, session: PersonDep) -> Response:
    """Show a session at its limit; once nothing of it waits, the page says so."""
    return _page(desk, session, await CappedSessions(desk.services.book).resolve(name))


@router.post("/{name}/deny")
async def deny(
    name: str,
    desk: DeskDep,
    session: FormDep,
    picked: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
    card: Annotated[str, Form()] = "",
) -> Response:
    """Deny all of it that waits; the page that follows says of each what came of it."""
    services = desk.services
    capped = await CappedSessions(services.book).resolve(name)
    why = reasons.joined(picked, reason)
    try:
        done = await deny_session(
            services.decider, capped, session.caller, reason=why, via="web", card=card
        )
    except Refusal as refusal:
        return _page(desk, session, capped, refusal=refusal)
    results = [_result(desk, session, one) for one in done]
    return desk.pages.render(
        "results",
        session=session,
        results=results,
        refused=sum(not one.notice.good for one in results),
        answer="deny",
    )


@router.get("/{name}/deny")
async def back_to_session(name: str, desk: DeskDep) -> Response:
    """Lead whoever opens the address of the form to its page."""
    capped = await CappedSessions(desk.services.book).resolve(name)
    return RedirectResponse(f"/sessions/{capped.name}", 303)


def _page(
    desk: Desk, session: Session, capped: Capped, *, refusal: Refusal | None = None
) -> Response:
    services, opened = desk.services, capped.of
    shown = services.shower.cards.of_session(capped)
    host = services.names.name(opened.host, opened.host_name)
    return desk.pages.render(
        "session",
        session=session,
        status=refusal.status if refusal else 200,
        notice=notice_of(refusal, back=f"/sessions/{capped.name}") if refusal else None,
        capped=capped,
        card=shown.card,
        card_digest=shown.digest,
        rows=[desk.rows.row(record, session.caller) for record in capped.waiting[:_SHOWN]],
        more=max(0, len(capped.waiting) - _SHOWN),
        quarantine=quarantine_url("", opened.act.subject, host),
        for_denial=reasons.FOR_DENIAL,
    )


def _result(desk: Desk, session: Session, one: Denied) -> Result:
    notice = (
        Notice("Denied; waiting for the host to confirm", "", good=True)
        if one.refusal is None
        else notice_of(one.refusal, back="/")
    )
    return Result(desk.rows.row(one.record, session.caller), notice)

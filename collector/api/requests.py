"""Routes for requests: list, show, decide, comment, follow."""

import asyncio
import datetime as dt
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from collector.api.errors import documented
from collector.api.events_stream import EventStream
from collector.api.fields import Time
from collector.api.models import BreakGlassIn, CommentIn, DecisionIn, RequestOut, RequestPage
from collector.api.models_orders import GrantIn
from collector.api.models_sessions import CappedOut
from collector.api.orders import made_grant
from collector.api.services import CallerDep, RequestsReaderDep, Services, ServicesDep
from collector.api.sessions import capped_out
from collector.approvals.capped import CappedSessions
from collector.approvals.listing import list_records, place_after
from collector.approvals.record import Record
from collector.errors import Refusal
from collector.identity.people import Caller
from collector.orders.terms import Terms
from collector.trail.reader import RequestFilter
from wire.messages import Answer

router = APIRouter(prefix="/requests", tags=["requests"])

State = Literal["open", "approved", "denied", "expired", "cancelled", "superseded", "all"]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("", summary="List requests, newest first", responses=documented(401, 403, 422))
async def list_requests(
    caller: RequestsReaderDep,
    services: ServicesDep,
    state: State = "open",
    host: Annotated[str | None, Query(description="host id or enrolled name")] = None,
    subject: str | None = None,
    rule: str | None = None,
    since: Time | None = None,
    limit: Limit = 100,
    after: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> RequestPage:
    """List requests by state, host, subject, rule and time of opening."""
    wanted = RequestFilter(
        state=None if state == "all" else state,
        host=host and await asyncio.to_thread(services.names.find, host),
        subject=subject,
        rule=rule,
        since_ns=to_ns(since),
        after=await place_after(services.book, after),
        limit=limit,
    )
    listed = await list_records(services.book, services.reader, wanted)
    return RequestPage(
        requests=[services.shower.show(one, caller, with_card=False) for one in listed.records],
        next=listed.next,
        capped=_capped(services, wanted) if state == "open" and after is None else [],
    )


@router.get(
    "/stream",
    summary="Follow requests as they change",
    responses=documented(401, 403)
    | {200: {"content": {"text/event-stream": {}}, "description": "server-sent events"}},
    response_class=Response,
)
async def stream_requests(
    request: Request, who: RequestsReaderDep, services: ServicesDep
) -> Response:
    """Send every open request as event `request`, then `ready`, then each request that changes.

    A client that does not read fast enough is cut off; it connects again and misses nothing that
    is still open.
    """
    token = request.headers.get("authorization", "").partition(" ")[2]

    async def still_valid() -> bool:
        return await services.tokens.check(token) is not None

    return EventStream(
        services.book,
        queue=services.stream_queue,
        show=lambda record: services.shower.show(record, who, with_card=True).model_dump_json(),
        still_valid=still_valid,
        who=who.token,
        admit=lambda: check_room(services, who.token),
    )


@router.get(
    "/{request_id}", summary="Show one request", responses=documented(401, 403, 404, 409, 422)
)
async def show_request(
    request_id: str, caller: RequestsReaderDep, services: ServicesDep
) -> RequestOut:
    """Show a request with its card; a unique prefix of six digits or more will do."""
    record = await services.book.resolve(request_id)
    return services.shower.show(record, caller, with_card=True)


@router.post(
    "/{request_id}/decision",
    summary="Answer a request",
    responses=documented(401, 403, 404, 409, 410, 413, 422),
)
async def decide_request(
    request_id: str, answer: DecisionIn, caller: CallerDep, services: ServicesDep
) -> RequestOut:
    """Approve or deny. It decides once the policy's approvals are there; any denial ends it.

    The first decision stands; `outcome` follows when the host confirms it.
    """
    record = await services.book.resolve(request_id)
    if answer.grant is not None:
        return await _approve_for_a_time(services, caller, record, answer, answer.grant)
    record = await services.decider.decide(
        caller,
        record,
        answer=answer.answer,
        reason=answer.reason,
        digest=answer.digest,
        card=answer.card or "",
        via=answer.via,
    )
    return services.shower.show(record, caller, with_card=True)


@router.post(
    "/{request_id}/break-glass",
    summary="Release a request in an emergency",
    responses=documented(401, 403, 404, 409, 410, 413, 422, 503),
)
async def break_glass_request(
    request_id: str, given: BreakGlassIn, caller: CallerDep, services: ServicesDep
) -> RequestOut:
    """Approve without the others whom the policy asks; they are told, and the trail names it."""
    record = await services.decider.break_glass(
        caller,
        await services.book.resolve(request_id),
        reason=given.reason,
        digest=given.digest,
        card=given.card or "",
        via=given.via,
    )
    return services.shower.show(record, caller, with_card=True)


@router.post(
    "/{request_id}/comments",
    summary="Comment on a request",
    status_code=201,
    responses=documented(401, 403, 404, 409, 413, 422),
)
async def comment_on_request(
    request_id: str, comment: CommentIn, caller: CallerDep, services: ServicesDep
) -> RequestOut:
    """Leave a remark that decides nothing; any person may."""
    record = await services.decider.comment(
        caller,
        await services.book.resolve(request_id),
        text=comment.text,
        via=comment.via,
    )
    return services.shower.show(record, caller, with_card=True)


def _capped(services: Services, wanted: RequestFilter) -> list[CappedOut]:
    """Return the sessions at their limit that have requests of those that are wanted."""
    return [
        capped_out(services, one)
        for one in CappedSessions(services.book).alive()
        if wanted.host in (None, one.of.host)
        and wanted.subject in (None, one.of.act.subject)
        and wanted.rule in (None, *(each.opened.rule.id for each in one.waiting))
    ]


async def _approve_for_a_time(
    services: Services, caller: Caller, record: Record, answer: DecisionIn, wanted: GrantIn
) -> RequestOut:
    if answer.answer is not Answer.APPROVE:
        raise Refusal(
            422, "validation", "grant: a denial grants nothing", "leave `grant` out, or approve"
        )
    terms = Terms(minutes=wanted.minutes, uses=wanted.uses, scope=wanted.scope)
    record, grant = await services.issuer.approve_for_a_time(
        caller,
        record,
        terms,
        reason=answer.reason,
        digest=answer.digest,
        card=answer.card or "",
        via=answer.via,
    )
    shown = services.shower.show(record, caller, with_card=True)
    return shown.model_copy(
        update={"granted": made_grant(services, grant) if grant is not None else None}
    )


def to_ns(when: dt.datetime | None) -> int | None:
    """Return nanoseconds since the epoch; a time without a zone is UTC."""
    if when is None:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=dt.UTC)
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (when - epoch) // dt.timedelta(microseconds=1) * 1000


def check_room(services: Services, who: str) -> None:
    """Raise Refusal if a further stream would be one too many, for this token or for all."""
    if services.book.listening(who) >= services.stream_clients_per_token:
        raise Refusal(
            503,
            "busy",
            f"this token follows requests {services.stream_clients_per_token} times already",
            "end one of those clients, or use a token for each program",
        )
    if services.book.listeners >= services.stream_clients:
        raise Refusal(503, "busy", "too many clients follow requests already", "try again later")

"""Routes for asks: open one, see how it stands and wait for its end, withdraw it."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from collector.api.ask_models import AskIn, AskOut
from collector.api.errors import documented
from collector.api.services import AskerDep, Services, ServicesDep
from collector.approvals.record import Record
from collector.approvals.tally import missing_words, tally
from collector.asks.desk import Wanted
from collector.card import render
from collector.web.settings import request_url

router = APIRouter(prefix="/asks", tags=["asks"])

LONGEST_WAIT_S = 60


@router.post(
    "",
    summary="Ask for approval",
    status_code=201,
    responses=documented(401, 403, 409, 413, 422, 429)
    | {200: {"model": AskOut, "description": "asked before, with this key; it still waits"}},
)
async def open_ask(
    asked: AskIn, caller: AskerDep, services: ServicesDep, response: Response
) -> AskOut:
    """Open an ask. It waits for people like a held act does; nothing is stopped or run by it.

    Sent again with the same `key`, it is the same ask; a key is for one ask and one answer.
    """
    wanted = Wanted(
        action=asked.action,
        resource=asked.resource,
        why=asked.why,
        details=asked.details,
        severity=asked.severity,
        timeout_s=asked.timeout_s,
        key=asked.key,
        on_behalf_of=tuple(asked.on_behalf_of),
    )
    record, new = await services.asks.open(caller, wanted)
    if not new:
        response.status_code = 200
    return _out(record, services)


@router.get(
    "/{ask_id}",
    summary="See how an ask stands",
    responses=documented(401, 403, 404, 422),
)
async def get_ask(
    ask_id: str,
    caller: AskerDep,
    services: ServicesDep,
    wait: Annotated[
        float, Query(ge=0, le=LONGEST_WAIT_S, description="seconds to wait for its end")
    ] = 0,
) -> AskOut:
    """Return an ask of the caller's own; with `wait`, as soon as it has ended."""
    return _out(await services.asks.get(caller, ask_id, wait_s=wait), services)


@router.post(
    "/{ask_id}/withdraw",
    summary="Withdraw an ask",
    responses=documented(401, 403, 404, 422),
)
async def withdraw_ask(ask_id: str, caller: AskerDep, services: ServicesDep) -> AskOut:
    """End an ask that is not wanted any more; if it was decided first, that stands."""
    return _out(await services.asks.withdraw(caller, ask_id), services)


def _out(record: Record, services: Services) -> AskOut:
    opened, decision = record.opened, record.decision
    applied = services.policies.apply(record)
    return AskOut(
        ask=record.id,
        state=record.state,
        state_line=render(opened, record.states, decision).state_line,
        by="" if decision is None else decision.by,
        reason="" if decision is None else decision.reason,
        decided_ns=None if decision is None else decision.time_ns,
        action=opened.act.executable,
        resource=opened.act.path,
        why=opened.claim,
        details=opened.act.environment or {},
        severity=opened.rule.severity,
        owner=opened.owner,
        opened_ns=opened.opened_ns,
        deadline_ns=applied.deadline_ns or opened.deadline_ns,
        missing=missing_words(tally(record.votes, applied.policy.approve).missing),
        stuck=applied.stuck,
        unknown=list(applied.unknown),
        link=request_url(services.signing_in.base, record.id),
    )

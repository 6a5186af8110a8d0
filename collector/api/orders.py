"""Routes for grants and quarantines: list, make, end."""

import time

from fastapi import APIRouter

from collector.api.errors import documented
from collector.api.models_orders import (
    EndIn,
    GrantList,
    GrantOut,
    QuarantineHostOut,
    QuarantineIn,
    QuarantineList,
    QuarantineOut,
)
from collector.api.services import CallerDep, RequestsReaderDep, Services, ServicesDep
from collector.orders.ledger import GrantState, KnownGrant, KnownQuarantine
from collector.orders.words import covered_words
from wire.orders import Grant

router = APIRouter()

_WHAT_LIMIT = 1000


@router.get("/grants", tags=["grants"], summary="List grants", responses=documented(401, 403, 422))
async def list_grants(_: RequestsReaderDep, services: ServicesDep, all: bool = False) -> GrantList:
    """List the grants in force, newest first; with `all` also those that are over."""
    now_ns = time.time_ns()
    found = [
        grant_out(services, known)
        for known in services.issuer.ledger.grants()
        if all or known.state(now_ns) is GrantState.IN_FORCE
    ]
    return GrantList(grants=found)


@router.post(
    "/grants/{grant_id}/revoke",
    tags=["grants"],
    summary="Revoke a grant",
    responses=documented(401, 403, 404, 409, 413, 422, 503),
)
async def revoke_grant(
    grant_id: str, end: EndIn, caller: CallerDep, services: ServicesDep
) -> GrantOut:
    """End a grant; what it has let pass before stays as it is."""
    ended = await services.orders.revoke(caller, grant_id, reason=end.reason, via=end.via)
    return grant_out(services, ended)


@router.get(
    "/quarantines",
    tags=["quarantines"],
    summary="List quarantines",
    responses=documented(401, 403, 422),
)
async def list_quarantines(
    _: RequestsReaderDep,
    services: ServicesDep,
    all: bool = False,
) -> QuarantineList:
    """List the quarantines in force, newest first; with `all` also those that were lifted."""
    found = [
        quarantine_out(services, known)
        for known in services.issuer.ledger.quarantines()
        if all or known.lifted is None
    ]
    return QuarantineList(quarantines=found)


@router.post(
    "/quarantines",
    tags=["quarantines"],
    summary="Put a subject under quarantine",
    status_code=201,
    responses=documented(401, 403, 404, 409, 413, 422, 503),
)
async def quarantine(
    wanted: QuarantineIn, caller: CallerDep, services: ServicesDep
) -> QuarantineOut:
    """Deny everything open of a subject and stop all its processes, on a host or everywhere."""
    known = await services.orders.quarantine(
        caller, wanted.subject, wanted.host, reason=wanted.reason, via=wanted.via
    )
    return quarantine_out(services, known)


@router.post(
    "/quarantines/{quarantine_id}/lift",
    tags=["quarantines"],
    summary="Lift a quarantine",
    responses=documented(401, 403, 404, 409, 413, 422, 503),
)
async def lift_quarantine(
    quarantine_id: str, end: EndIn, caller: CallerDep, services: ServicesDep
) -> QuarantineOut:
    """Let the processes run on; nobody lifts the quarantine of a subject of their own."""
    ended = await services.orders.lift(caller, quarantine_id, reason=end.reason, via=end.via)
    return quarantine_out(services, ended)


def grant_out(services: Services, known: KnownGrant) -> GrantOut:
    """Return a grant as the API gives it."""
    grant = known.grant
    return GrantOut(
        grant=grant.order,
        state=known.state(time.time_ns()),
        host=grant.host,
        host_name=services.names.name(grant.host, ""),
        subject=grant.subject,
        session=grant.session,
        kind=grant.covers.kind,
        what=covered_words(grant.covers, _WHAT_LIMIT),
        rule=grant.covers.rule,
        uses=grant.uses,
        used=len(known.holds),
        expires_ns=grant.expires_ns,
        request=grant.request,
        by=grant.by,
        via=grant.via,
        reason=grant.reason,
        time_ns=grant.time_ns,
        revoked_by=known.revoked.by if known.revoked else None,
        revoked_ns=known.revoked.time_ns if known.revoked else None,
    )


def made_grant(services: Services, grant: Grant) -> GrantOut:
    """Return a grant that was just made."""
    return grant_out(services, services.issuer.ledger.grant(grant.order) or KnownGrant(grant))


def quarantine_out(services: Services, known: KnownQuarantine) -> QuarantineOut:
    """Return a quarantine as the API gives it."""
    first, lifted = known.first, known.lifted
    return QuarantineOut(
        quarantine=known.id,
        subject=first.subject,
        everywhere=first.everywhere,
        hosts=[
            QuarantineHostOut(
                host=host, host_name=services.names.name(host, ""), lifted=host in known.lifts
            )
            for host in known.orders
        ],
        by=first.by,
        via=first.via,
        reason=first.reason,
        time_ns=first.time_ns,
        lifted_by=lifted.by if lifted else None,
        lifted_reason=lifted.reason if lifted else None,
        lifted_ns=lifted.time_ns if lifted else None,
    )

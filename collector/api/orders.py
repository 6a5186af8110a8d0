"""Routes for grants and quarantines: list, make, end."""

import asyncio
import time
from collections.abc import Mapping
from typing import TypeVar

from fastapi import APIRouter

from collector.api.errors import documented
from collector.api.models import (
    EndIn,
    GrantList,
    GrantOut,
    QuarantineHostOut,
    QuarantineIn,
    QuarantineList,
    QuarantineOut,
)
from collector.api.services import CallerDep, RequestsReaderDep, Services, ServicesDep
from collector.approvals.record import Record
from collector.errors import Refusal
from collector.orders.ledger import GrantState, KnownGrant, KnownQuarantine
from collector.sanitize import visible
from collector.trail.orders import what
from collector.trail.reader import RequestFilter
from wire.ids import HostId, OrderId
from wire.orders import Grant

router = APIRouter()

_SHORTEST = 6
# So many of a subject's requests tell whose it is.
_ASKED = 1000

T = TypeVar("T", KnownGrant, KnownQuarantine)


@router.get("/grants", tags=["grants"], summary="List grants", responses=documented(401, 403))
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
    ledger = services.issuer.ledger
    known = _find(grant_id, {one.grant.order: one for one in ledger.grants()}, "grant")
    await services.issuer.revoke(caller, known, reason=end.reason, via=end.via)
    return grant_out(services, ledger.grant(known.grant.order) or known)


@router.get(
    "/quarantines", tags=["quarantines"], summary="List quarantines", responses=documented(401)
)
async def list_quarantines(
    _: RequestsReaderDep,
    services: ServicesDep,
    all: bool = False,
) -> QuarantineList:
    """List the quarantines in force, newest first; with `all` also those that were lifted."""
    found = [
        _quarantine_out(services, known)
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
    host = await _host_of_subject(services, wanted.subject, wanted.host)
    known = await services.issuer.quarantine(
        caller, wanted.subject, host, reason=wanted.reason, via=wanted.via
    )
    return _quarantine_out(services, known)


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
    ledger = services.issuer.ledger
    known = _find(quarantine_id, {one.id: one for one in ledger.quarantines()}, "quarantine")
    asked = await _asked(services, known.first.subject)
    await services.issuer.lift(caller, known, asked=asked, reason=end.reason, via=end.via)
    return _quarantine_out(services, ledger.quarantine(known.id) or known)


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
        what=visible(what(grant.covers)),
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


def _quarantine_out(services: Services, known: KnownQuarantine) -> QuarantineOut:
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


def _find(text: str, known: Mapping[OrderId, T], name: str) -> T:
    """Return the one that an id or a unique prefix names; raise Refusal."""
    prefix = text.strip().lower()
    found = [one for one in known if one.startswith(prefix)] if len(prefix) >= _SHORTEST else []
    if len(found) > 1:
        raise Refusal(
            409,
            "ambiguous_prefix",
            f"several begin with {prefix}",
            "give more digits of the id",
            {"matches": sorted(found)[:10]},
        )
    if not found:
        raise Refusal(
            404,
            f"unknown_{name}",
            f"there is no {name} {text[:64]!r}",
            f"see `holdfast {name}s` for those there are, or give 6 digits or more",
        )
    return known[found[0]]


async def _host_of_subject(services: Services, subject: str, host: str | None) -> HostId | None:
    """Return the host that is meant, None for all; raise Refusal if none has such a subject."""
    enrolled = {one.host for one in await asyncio.to_thread(services.names.all)}
    wanted = None if host is None else await asyncio.to_thread(services.names.find, host)
    if wanted is not None and wanted not in enrolled:
        raise Refusal(
            404, "unknown_host", f"there is no host {host!r}", "see `holdfast hosts` for all"
        )
    said: dict[str, list[str]] = {
        row["host"]: row["subjects"] or [] for row in await services.reader.hosts()
    }
    hosts = enrolled if wanted is None else {wanted}
    # One that has said nothing yet may have any subject.
    if all(one in said for one in hosts) and not any(subject in said[one] for one in hosts):
        known = sorted({name for one in hosts for name in said[one]})
        raise Refusal(
            404,
            "unknown_subject",
            f"no such subject is watched there: {subject[:64]!r}",
            "see `holdfast hosts` for the subjects of each host",
            {"subjects": known[:50]},
        )
    return wanted


async def _asked(services: Services, subject: str) -> list[Record]:
    """Return the newest requests of a subject, from all hosts."""
    wanted = RequestFilter(subject=subject, limit=_ASKED)
    return await services.book.many(await services.reader.list_requests(wanted))

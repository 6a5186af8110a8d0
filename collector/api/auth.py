"""Routes by which programs of people sign in and out: `holdfast login` and `holdfast logout`."""

import logging

from fastapi import APIRouter, Request

from collector.api.errors import documented
from collector.api.models_people import DeviceIn, DeviceOut, DeviceState, SignedOut, WaysIn
from collector.api.services import CallerDep, ServicesDep, address_of
from collector.errors import Refusal
from collector.identity.journal import Via
from collector.oidc.device import Admitted

log = logging.getLogger(__name__)

router = APIRouter(prefix="/auth", tags=["people"])


@router.get("", summary="How people sign in", responses=documented())
async def ways_in(services: ServicesDep) -> WaysIn:
    """Say whether there is an identity provider; asked before anyone is signed in."""
    return WaysIn(identity_provider=services.signing_in.offered)


@router.post(
    "/device",
    status_code=201,
    summary="Begin a sign-in without a browser of one's own",
    responses=documented(404, 502, 503),
)
async def begin_device(services: ServicesDep) -> DeviceOut:
    """Have the provider give a code, which the person types in at its address."""
    begun = await services.signing_in.on_device().begin()
    return DeviceOut(
        handle=begun.handle,
        user_code=begun.user_code,
        verification_uri=begun.verification_uri,
        verification_uri_complete=begun.verification_uri_complete,
        expires_s=begun.expires_s,
        interval_s=begun.interval_s,
    )


@router.post(
    "/device/token",
    summary="Ask how such a sign-in stands",
    responses=documented(403, 404, 410, 413, 422, 502),
)
async def poll_device(asked: DeviceIn, request: Request, services: ServicesDep) -> DeviceState:
    """Return the token once the person has signed in, or how long to wait."""
    device, address = services.signing_in.on_device(), address_of(request)
    try:
        found = await device.poll(asked.handle, address=address)
    except Refusal as refusal:
        await services.signing_in.refused.note(Via.DEVICE, refusal.message, address)
        raise
    if isinstance(found, Admitted):
        log.info("%s signed in on the command line", found.person.name)
        return DeviceState(signed_in=True, wait_s=0, token=found.token, expires_ns=found.expires_ns)
    return DeviceState(signed_in=False, wait_s=found)


@router.post("/logout", summary="End the token that asks", responses=documented(401, 403, 503))
async def logout(caller: CallerDep, request: Request, services: ServicesDep) -> SignedOut:
    """End a token that `holdfast login` got; others are an administrator's to end."""
    ended = await services.tokens.end_login(caller.token, address=address_of(request))
    return SignedOut(ended=ended)

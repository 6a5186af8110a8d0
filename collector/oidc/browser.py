"""Routes by which a browser signs in at the identity provider."""

import logging
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from collector.api.services import ServicesDep, address_of
from collector.errors import Refusal
from collector.identity.journal import Via
from collector.oidc.sign_in import CALLBACK_PATH, PENDING_S
from collector.oidc.wiring import SigningIn
from collector.web.cookies import cookie_name, set_session

log = logging.getLogger(__name__)

router = APIRouter(include_in_schema=False)

_LONGEST_COOKIE = 8192


async def ways_in(services: ServicesDep) -> SigningIn:
    """Return what there is."""
    return services.signing_in


WaysInDep = Annotated[SigningIn, Depends(ways_in)]


@router.get("/auth/login")
async def login(
    ways: WaysInDep,
    target: Annotated[str, Query(alias="next")] = "/",
    step_up: bool = False,
) -> Response:
    """Send the browser to the identity provider; with `step_up` for a fresh proof."""
    begun = await ways.in_browser().begin(target=target, step_up=step_up)
    response = RedirectResponse(begun.url, HTTPStatus.SEE_OTHER)
    response.set_cookie(
        _pending(ways.base),
        begun.cookie,
        max_age=PENDING_S,
        path="/",
        secure=ways.base.startswith("https://"),
        httponly=True,
        samesite="lax",
    )
    return response


@router.get(CALLBACK_PATH)
async def callback(request: Request, ways: WaysInDep) -> Response:
    """Take the browser back from the provider: a new session, whatever it had before."""
    browser = ways.in_browser()
    pending = request.cookies.get(_pending(ways.base), "")[:_LONGEST_COOKIE]
    address = address_of(request)
    try:
        proved = await browser.finish(pending, dict(request.query_params), address=address)
    except Refusal as refusal:
        log.warning("a sign-in was refused: %s", refusal.message)
        await ways.refused.note(Via.BROWSER, refusal.message, address)
        raise
    log.info("%s signed in, %s", proved.person.name, proved.person.role.value)
    await ways.sessions.end(request.cookies.get(cookie_name(ways.base), ""), address=address)
    response = RedirectResponse(proved.target, HTTPStatus.SEE_OTHER)
    hours_s = int(browser.settings.session_hours * 3600)
    set_session(response, ways.base, proved.cookie, max_age_s=hours_s)
    response.delete_cookie(
        _pending(ways.base),
        path="/",
        secure=ways.base.startswith("https://"),
        httponly=True,
        samesite="lax",
    )
    return response


def _pending(base: str) -> str:
    return f"{cookie_name(base)}-sign-in"

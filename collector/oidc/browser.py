"""Routes by which a browser signs in and out, and says which account of a channel is its own."""

import hmac
import html
import logging
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from collector.api.services import ServicesDep
from collector.errors import Refusal
from collector.identity.sessions import Session
from collector.oidc.sign_in import CALLBACK_PATH, PENDING_S
from collector.oidc.wiring import SigningIn
from collector.web.cookies import cookie_name, drop_session, set_session
from collector.web.headers import CONTENT_POLICY

log = logging.getLogger(__name__)

router = APIRouter(include_in_schema=False)

_LONGEST_COOKIE = 8192


async def ways_in(services: ServicesDep) -> SigningIn:
    """Return what there is."""
    return services.signing_in


WaysInDep = Annotated[SigningIn, Depends(ways_in)]


async def session_of(request: Request, ways: WaysInDep) -> Session | None:
    """Return the session of the browser, or None."""
    return await ways.sessions.check(request.cookies.get(cookie_name(ways.base), ""))


SessionDep = Annotated[Session | None, Depends(session_of)]


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
    try:
        proved = await browser.finish(pending, dict(request.query_params))
    except Refusal as refusal:
        log.warning("a sign-in was refused: %s", refusal.message)
        raise
    log.info("%s signed in, %s", proved.person.name, proved.person.role.value)
    await ways.sessions.end(request.cookies.get(cookie_name(ways.base), ""))
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


@router.post("/auth/logout")
async def logout(
    request: Request,
    ways: WaysInDep,
    session: SessionDep,
    csrf: Annotated[str, Form()] = "",
) -> Response:
    """End the session here, and say where to sign out of the provider itself."""
    if session is not None:
        _check_form(session, csrf)
        await ways.sessions.end(request.cookies.get(cookie_name(ways.base), ""))
    response = _page("You are signed out", f"<p>Of Holdfast.{await _elsewhere(ways)}</p>")
    drop_session(response, ways.base)
    return response


@router.get("/auth/link")
async def link_page(ways: WaysInDep, session: SessionDep, code: str = "") -> Response:
    """Ask whether the account that a channel has given this link to is the reader's own."""
    if session is None:
        again = urlencode({"next": f"/auth/link?{urlencode({'code': code})}"})
        return RedirectResponse(f"/auth/login?{again}", HTTPStatus.SEE_OTHER)
    claimed = await ways.links.claimed(code)
    who, label = html.escape(session.caller.name), html.escape(claimed.label)
    channel = html.escape(claimed.channel.capitalize())
    return _page(
        f"Is this {channel} account yours?",
        f"<p>You are signed in as <strong>{who}</strong>. Whoever uses the {channel} account "
        f"<strong>{label}</strong> will answer requests in your name.</p>"
        "<p>If you did not ask for this in the channel yourself, close this page.</p>"
        '<form method="post" action="/auth/link">'
        f'<input type="hidden" name="code" value="{html.escape(code)}">'
        f'<input type="hidden" name="csrf" value="{html.escape(session.csrf)}">'
        '<button type="submit">It is mine</button></form>',
    )


@router.post("/auth/link")
async def link(
    ways: WaysInDep,
    session: SessionDep,
    code: Annotated[str, Form()] = "",
    csrf: Annotated[str, Form()] = "",
) -> Response:
    """Make the account the reader's."""
    if session is None:
        raise Refusal(
            401, "signed_out", "you are not signed in; nothing was done", "open the link again"
        )
    _check_form(session, csrf)
    claimed = await ways.links.finish_link(code, session.caller)
    return _page(
        "Linked",
        f"<p>The {html.escape(claimed.channel.capitalize())} account "
        f"<strong>{html.escape(claimed.label)}</strong> is yours now.</p>"
        "<p>Go back and answer there.</p>",
    )


async def _elsewhere(ways: SigningIn) -> str:
    """Return a link to the provider's own way out, if it has one.

    No redirect: a page's form may only lead to this site, and a browser holds us to that.
    """
    try:
        url = await ways.in_browser().provider.logout_url()
    except Refusal:
        url = None
    return f' <a href="{html.escape(url)}">Sign out of the provider too</a>' if url else ""


def _check_form(session: Session, csrf: str) -> None:
    if not hmac.compare_digest(csrf.encode(), session.csrf.encode()):
        raise Refusal(
            403,
            "foreign_form",
            "the form was not made for this session; nothing was done",
            "open the page again and send its form",
        )


def _pending(base: str) -> str:
    return f"{cookie_name(base)}-sign-in"


def _page(title: str, body: str) -> HTMLResponse:
    """Return a page of its own; `body` is markup in which everything foreign is escaped."""
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title} · Holdfast</title></head><body><main><h1>{title}</h1>{body}</main></body>"
        "</html>"
    )
    headers = {"Content-Security-Policy": CONTENT_POLICY, "Cache-Control": "no-store"}
    return HTMLResponse(text, headers=headers)

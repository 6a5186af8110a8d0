"""Signing in and out: through the identity provider where there is one, and with a token."""

import logging
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from collector.api.services import address_of
from collector.errors import Refusal
from collector.identity.journal import Via
from collector.web.cookies import drop_session, set_session
from collector.web.desk import Desk, DeskDep, FormDep, check_origin, session_of
from collector.web.pages import Link, Notice, notice_of
from collector.web.token_sessions import LIFE_S

log = logging.getLogger(__name__)

router = APIRouter(include_in_schema=False)

_LONGEST_TARGET = 2000


@router.get("/sign-in")
async def sign_in_page(
    request: Request,
    desk: DeskDep,
    target: Annotated[str, Query(alias="next")] = "/",
    out: bool = False,
) -> Response:
    """Show the ways in; whoever is in already goes on to the page they wanted."""
    target = local(target)
    if await session_of(request, desk) is not None:
        return RedirectResponse(target, HTTPStatus.SEE_OTHER)
    notice = Notice("You are signed out", "Of Holdfast, in this browser.", good=True)
    if not out:
        return _page(desk, target, notice=None)
    return _page(desk, target, notice=replace(notice, link=await _provider_logout(desk)))


@router.post("/sign-in")
async def sign_in(
    request: Request,
    desk: DeskDep,
    token: Annotated[str, Form()] = "",
    target: Annotated[str, Form(alias="next")] = "/",
) -> Response:
    """Begin a session for whoever has a person's token."""
    target = local(target)
    client = address_of(request)
    try:
        check_origin(request, desk)
        desk.attempts.check(client)
        cookie = await desk.token_sessions.create(token.strip(), address=client)
    except Refusal as refusal:
        if refusal.status == HTTPStatus.UNAUTHORIZED:
            desk.attempts.failed(client)
            log.warning("web: a token from %s was refused", client)
        await desk.services.signing_in.refused.note(Via.TOKEN, refusal.message, client)
        return _page(desk, target, notice=notice_of(refusal), status=refusal.status)
    response = RedirectResponse(target, HTTPStatus.SEE_OTHER)
    set_session(response, desk.base_url, cookie, max_age_s=LIFE_S)
    return response


@router.post("/sign-out")
async def sign_out(request: Request, desk: DeskDep, _: FormDep) -> Response:
    """End the session, here and in the browser."""
    cookie = request.cookies.get(desk.cookie, "")
    address = address_of(request)
    await desk.token_sessions.end(cookie, address=address)
    await desk.services.signing_in.sessions.end(cookie, address=address)
    response = RedirectResponse("/sign-in?out=true", HTTPStatus.SEE_OTHER)
    drop_session(response, desk.base_url)
    response.headers["Clear-Site-Data"] = '"cache"'  # also what the way back would show
    return response


def local(target: str) -> str:
    """Return a path of these pages; anything that a browser might take elsewhere becomes `/`."""
    plain = target.isprintable() and target.isascii() and "\\" not in target
    if plain and target.startswith("/") and target[1:2] != "/" and len(target) < _LONGEST_TARGET:
        return target
    return "/"


async def _provider_logout(desk: Desk) -> Link | None:
    """Return the way out of the identity provider, if there is one that can be reached."""
    if not desk.services.signing_in.offered:
        return None
    try:
        url = await desk.services.signing_in.in_browser().provider.logout_url()
    except Refusal:
        return None
    return Link("Sign out of your identity provider too", url) if url else None


def _page(desk: Desk, target: str, *, notice: Notice | None, status: int = 200) -> Response:
    return desk.pages.render(
        "sign-in",
        session=None,
        status=status,
        notice=notice,
        target=target,
        offers_login=desk.services.signing_in.offered,
    )

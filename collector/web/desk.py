"""What the pages work with, who has a session, and whether a form is one of ours."""

import asyncio
import hmac
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Form, Request

from collector.api.services import Services
from collector.errors import Refusal
from collector.identity.sessions import Session
from collector.web.attempts import Attempts
from collector.web.cookies import cookie_name
from collector.web.pages import Pages
from collector.web.rows import Rows
from collector.web.token_sessions import TokenSessions

_LONGEST_COOKIE = 512


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything behind the pages."""

    services: Services
    token_sessions: TokenSessions
    pages: Pages
    rows: Rows
    attempts: Attempts
    # A search may read the whole trail: one at a time, so that it keeps no other reader waiting.
    searching: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def base_url(self) -> str:
        """Their public address, without a slash at its end."""
        return self.services.signing_in.base

    @property
    def cookie(self) -> str:
        """The name of the session's cookie."""
        return cookie_name(self.base_url)


class SignedOutError(Refusal):
    """There is no session; whoever reads a page is sent to sign in and comes back."""

    def __init__(self) -> None:
        super().__init__(
            401,
            "signed_out",
            "you are not signed in, or your session has ended; nothing was done",
            "sign in and do it again",
        )


def desk_of(request: Request) -> Desk:
    """Return what the pages were built with."""
    found: Desk = request.app.state.desk
    return found


DeskDep = Annotated[Desk, Depends(desk_of)]


async def session_of(request: Request, desk: Desk) -> Session | None:
    """Return the session that the cookie proves, or None."""
    cookie = request.cookies.get(desk.cookie, "")
    if not cookie or len(cookie) > _LONGEST_COOKIE:
        return None
    found = await desk.token_sessions.check(cookie)
    return found or await desk.services.signing_in.sessions.check(cookie)


async def person(request: Request, desk: DeskDep) -> Session:
    """Return who is signed in; raise SignedOutError otherwise."""
    session = await session_of(request, desk)
    if session is None:
        raise SignedOutError
    request.state.session = session  # a refusal is shown in this person's frame
    return session


PersonDep = Annotated[Session, Depends(person)]


async def own_form(
    request: Request, desk: DeskDep, session: PersonDep, csrf: Annotated[str, Form()] = ""
) -> Session:
    """Return who sent a form of ours; raise Refusal if another site may have written it."""
    check_origin(request, desk)
    if not hmac.compare_digest(csrf.encode(), session.csrf.encode()):
        raise Refusal(
            403,
            "foreign_form",
            "the form was not made for this session; nothing was done",
            "open the page again and send its form",
        )
    return session


FormDep = Annotated[Session, Depends(own_form)]


def check_origin(request: Request, desk: Desk) -> None:
    """Raise Refusal unless the browser says that a page of ours has sent this."""
    fetch_site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    if fetch_site is not None:
        ours = fetch_site == "same-origin"
    else:
        ours = origin is not None and (
            origin == desk.base_url or urlsplit(origin).netloc == host != ""
        )
    if not ours:
        raise Refusal(
            403,
            "foreign_form",
            "the form came from another site, or your browser does not say from where; nothing "
            "was done",
            "open the page here and send its form; a current browser is needed",
        )

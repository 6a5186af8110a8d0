"""Failures as people read them: a page in the usual frame, in words, with the remedy."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from collector.api.errors import as_refusal, validation_refusal
from collector.errors import CollectorError, Refusal
from collector.web.desk import SignedOutError, desk_of
from collector.web.headers import HEADERS, wants_page
from collector.web.pages import notice_of

_Handler = Callable[[Request, Any], Awaitable[Response]]
SIGN_IN = "/sign-in"
LOGIN = "/auth/login"  # leads to the identity provider


def install(app: FastAPI) -> None:
    """Show failures of pages as pages; those of the API stay what they are."""
    for kind in (CollectorError, RequestValidationError, HTTPException, Exception):
        before: _Handler = app.exception_handlers[kind]  # type: ignore[assignment]
        app.add_exception_handler(kind, _for_pages(before))


def _for_pages(for_programs: _Handler) -> _Handler:
    async def answer(request: Request, error: Exception) -> Response:
        if not wants_page(request):
            return await for_programs(request, error)
        response = show(request, _refusal(error, request))
        # A failure that nobody foresaw is answered outside of what adds these otherwise.
        response.headers.update(HEADERS | {"Cache-Control": "no-store"})
        return response

    return answer


def show(request: Request, refusal: Refusal) -> Response:
    """Return the page for a refusal; a reader without a session is sent to sign in first."""
    if isinstance(refusal, SignedOutError) and request.method == "GET":
        return RedirectResponse(sign_in_url(request), HTTPStatus.SEE_OTHER)
    desk = desk_of(request)
    return desk.pages.render(
        "refused",
        session=getattr(request.state, "session", None),
        status=refusal.status,
        notice=notice_of(refusal),
        code=refusal.code,
        back=_back(request),
        sign_in=sign_in_url(request) if isinstance(refusal, SignedOutError) else "",
    )


def sign_in_url(request: Request) -> str:
    """Return where to sign in, and then to come back to the page that was asked for."""
    target = request.url.path if request.method == "GET" else _back(request)
    query = f"?{request.url.query}" if request.method == "GET" and request.url.query else ""
    way = LOGIN if desk_of(request).services.signing_in.offered else SIGN_IN
    return f"{way}?next={quote(target + query, safe='')}"


def _back(request: Request) -> str:
    """Return the page that a form was on, by the address that it was sent to."""
    if request.url.path.startswith("/auth/"):
        return SIGN_IN
    parts = request.url.path.split("/")
    if parts[1:2] in (["grants"], ["quarantines"]):
        return f"/{parts[1]}"
    return "/".join(parts[:3]) if parts[1:2] == ["requests"] and len(parts) > 3 else "/"


def _refusal(error: Exception, request: Request) -> Refusal:
    if isinstance(error, RequestValidationError):
        found = validation_refusal(error)
        remedy = "go back, correct it and send it again"
        return Refusal(422, found.code, found.message, remedy, found.extra)
    if isinstance(error, HTTPException):
        if error.status_code == HTTPStatus.NOT_FOUND:
            return Refusal(
                404, "not_found", "there is no such page", "start from the inbox, or search"
            )
        return Refusal(
            error.status_code,
            "http_error",
            HTTPStatus(error.status_code).phrase,
            "go back and use the page's own links and buttons",
        )
    return as_refusal(error, request)

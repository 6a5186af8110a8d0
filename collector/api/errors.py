"""Every failure as the one error envelope, and the limit on request bodies."""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.api.models import ErrorEnvelope
from collector.errors import CollectorError, Refusal, SqlError, StateError, TrailError

log = logging.getLogger(__name__)

LARGEST_BODY = 64 << 10
_MOST_FIELDS = 50
_TOO_LARGE = Refusal(413, "too_large", f"the body has more than {LARGEST_BODY} bytes", "send less")
_HTTP = {
    404: ("not_found", "there is no such route", "see /api/v1/openapi.json for those there are"),
    405: ("method_not_allowed", "the route does not take this method", "see /api/v1/openapi.json"),
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of these failures, and of those that any route may have.

    Each route reads tokens, which may be out of reach.
    """
    return {
        status: {"model": ErrorEnvelope, "description": HTTPStatus(status).phrase}
        for status in (*statuses, 500, 503)
    }


def install(app: FastAPI) -> None:
    """Answer every failure of the application with the envelope."""
    app.add_exception_handler(CollectorError, _collector_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unforeseen)
    app.add_middleware(BodyLimit)


def envelope(refusal: Refusal) -> JSONResponse:
    """Return the answer for a refusal."""
    body = dict(refusal.extra) | {
        "code": refusal.code,
        "message": refusal.message,
        "remedy": refusal.remedy,
    }
    headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else None
    return JSONResponse({"error": body}, status_code=refusal.status, headers=headers)


async def _collector_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CollectorError)
    return envelope(as_refusal(error, request))


def as_refusal(error: Exception, request: Request) -> Refusal:
    """Return what a failure is to whoever asked, and log what is the collector's to mend."""
    match error:
        case Refusal():
            return error
        case SqlError():
            return Refusal(
                422, "bad_sql", str(error), "write one SELECT; docs/trail.md lists tables and views"
            )
        case TrailError():
            log.error("api: %s", error)
            # DuckDB's own text about the collector's work may name paths and statements.
            return Refusal(
                503, "trail_unavailable", "the trail cannot be read", "see the collector's log"
            )
        case StateError():
            log.error("api: %s", error)
            return Refusal(
                503, "identities_unavailable", "tokens cannot be checked", "see the collector's log"
            )
        case _:
            log.error("api: %s %s failed", request.method, request.url.path, exc_info=error)
            return Refusal(
                500,
                "internal",
                "the collector failed to answer; what it did is in its log",
                "report it with the lines of the log",
            )


async def _validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return envelope(validation_refusal(error))


def validation_refusal(error: RequestValidationError) -> Refusal:
    """Return what is wrong with a request's parameters, by place."""
    found = [(_place(one["loc"]), one["msg"]) for one in error.errors()]
    places = [f"{place}: {words}" for place, words in found]
    return Refusal(
        422,
        "validation",
        "; ".join(places)[:2000],
        "see /api/v1/openapi.json for what is taken",
        {"fields": [place for place, _ in found][:_MOST_FIELDS]},
    )


def _place(location: Sequence[object]) -> str:
    """Return a place by name; the name may be any key that a caller has written."""
    name = ".".join(str(part) for part in location)[:200]
    return name.encode("utf-8", "backslashreplace").decode()


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:  # of a body that is not JSON at all, or is nested too deep
        return envelope(
            Refusal(
                422,
                "validation",
                "body: it cannot be read as JSON",
                "see /api/v1/openapi.json for what is taken",
                {"fields": ["body"]},
            )
        )
    code, message, remedy = _HTTP.get(
        error.status_code, ("http_error", str(error.detail), "see /api/v1/openapi.json")
    )
    return envelope(Refusal(error.status_code, code, message, remedy))


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    return envelope(as_refusal(error, request))


class BodyLimit:
    """Reads each body, which is small by rule, before the application does; refuses over 64 KiB."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its body in one piece."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client has gone
            body += message.get("body", b"")
            if len(body) > LARGEST_BODY:
                await envelope(_TOO_LARGE)(scope, receive, send)
                return
            if not message.get("more_body", False):
                break
        await self._app(scope, _replay(bytes(body), receive), send)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a receive that gives the body once and then what comes, which is the disconnect."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay

"""Puts the pages together, beside the API in the same application."""

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from collector.api.services import Services
from collector.identity.sessions import Sessions
from collector.web import archive, inbox, linking, refusals, request_page, signing_in
from collector.web.attempts import Attempts
from collector.web.desk import Desk
from collector.web.headers import PageHeaders
from collector.web.pages import STATIC, Pages
from collector.web.rows import Rows
from collector.web.token_sessions import TokenSessions


def serve(app: FastAPI, services: Services) -> None:
    """Add the pages to the application of the API, with the ways in that it has."""
    ways = services.signing_in
    add_pages(app, services, ways.sessions, base_url=ways.base, offers_login=ways.offered)


def add_pages(
    app: FastAPI, services: Services, sessions: Sessions, *, base_url: str, offers_login: bool
) -> None:
    """Add the pages to the application of the API.

    `offers_login`: /auth/login leads to an identity provider.
    """
    app.state.desk = Desk(
        services=services,
        sessions=sessions,
        token_sessions=TokenSessions(services.tokens),
        pages=Pages(lambda: services.book.register.waiting),
        rows=Rows(services.names),
        attempts=Attempts(),
        base_url=base_url,
        offers_login=offers_login,
    )
    refusals.install(app)
    app.add_middleware(PageHeaders)
    for part in (inbox, request_page, archive, signing_in, linking):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

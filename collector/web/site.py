"""Puts the pages together, beside the API in the same application."""

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from collector.api.services import Services
from collector.web import (
    archive,
    dashboard,
    inbox,
    linking,
    orders,
    query,
    refusals,
    request_page,
    session_page,
    signing_in,
)
from collector.web.attempts import Attempts
from collector.web.desk import Desk
from collector.web.headers import PageHeaders
from collector.web.pages import STATIC, Pages
from collector.web.rows import Rows
from collector.web.token_sessions import TokenSessions


def add_pages(app: FastAPI, services: Services) -> None:
    """Add the pages to the application of the API."""
    app.state.desk = Desk(
        services=services,
        token_sessions=TokenSessions(services.tokens),
        pages=Pages(lambda: services.book.register.waiting),
        rows=Rows(services.names, services.policies),
        attempts=Attempts(),
    )
    refusals.install(app)
    app.add_middleware(PageHeaders)
    for part in (
        inbox,
        request_page,
        session_page,
        orders,
        archive,
        dashboard,
        query,
        signing_in,
        linking,
    ):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

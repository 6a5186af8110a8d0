"""Puts the routes together, and serves them in the collector's own event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from collector.api import (
    answers,
    asks,
    auth,
    channels,
    errors,
    export,
    figures,
    orders,
    reports,
    requests,
    sessions,
    trail,
)
from collector.api.models import Health
from collector.api.services import Services, ServicesDep
from collector.config import Api, listen_address
from collector.errors import ConfigError
from collector.oidc import browser as browser_sign_in

BASE = "/api/v1"
_DESCRIPTION = """\
Reads requests and the trail, and answers requests. Every failure has the same envelope, with a
code for programs and a remedy for people. See docs/api.md.
"""


def build(services: Services) -> FastAPI:
    """Return the application."""
    app = FastAPI(
        title="Holdfast collector",
        version="1",
        description=_DESCRIPTION,
        openapi_url=f"{BASE}/openapi.json",
        # Their pages load scripts from the internet.
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = services
    errors.install(app)

    @app.get("/healthz", tags=["health"], summary="Whether the collector works")
    async def healthz(services: ServicesDep) -> Health:
        nats, written = services.publisher.connected, services.writer.healthy
        return Health(status="ok" if nats and written else "degraded", nats=nats, trail=written)

    app.include_router(answers.router, prefix=BASE)
    app.include_router(requests.router, prefix=BASE)
    app.include_router(sessions.router, prefix=BASE)
    app.include_router(asks.router, prefix=BASE)
    app.include_router(orders.router, prefix=BASE)
    app.include_router(trail.router, prefix=BASE)
    app.include_router(export.router, prefix=BASE)
    app.include_router(figures.router, prefix=BASE)
    app.include_router(reports.router, prefix=BASE)
    app.include_router(channels.router, prefix=BASE)
    app.include_router(auth.router, prefix=BASE)
    app.include_router(browser_sign_in.router)
    return app


class Server(uvicorn.Server):
    """Uvicorn on a socket of ours, without signal handlers; `listening` is set once it serves."""

    def __init__(self, app: FastAPI, settings: Api) -> None:
        """Take the address at once; raise ConfigError if it, or the certificate, cannot be had."""
        host, port = listen_address(settings.listen, place="api.listen")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            raise ConfigError(
                f"api.listen: {settings.listen} cannot be listened on ({error}); free it or choose "
                "another one"
            ) from error
        # Inherited by every connection. asyncio does this only for sockets that were made with the
        # number of the protocol, and without it a reply in two parts waits for the client's 40 ms.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        scheme = "https" if settings.tls_certificate else "http"
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{scheme}://{shown}:{self._socket.getsockname()[1]}"
        self.listening = asyncio.Event()
        super().__init__(
            uvicorn.Config(
                app,
                ssl_certfile=settings.tls_certificate or None,
                ssl_keyfile=settings.tls_key or None,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=3,
                http="h11",  # the other one knows no limit to what a client may send as headers
                h11_max_incomplete_event_size=32 << 10,
            )
        )
        try:
            self.config.load()  # reads the certificate
        except (OSError, ValueError) as error:
            self._socket.close()
            raise ConfigError(
                f"api.tls_certificate, api.tls_key: {settings.tls_certificate} and "
                f"{settings.tls_key} cannot be used ({error}); give a certificate chain and its "
                "private key, both PEM"
            ) from error

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the daemon."""
        yield

    async def run_until_stopped(self) -> None:
        """Serve until `should_exit` is set."""
        await self.serve(sockets=[self._socket])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        self.listening.set()

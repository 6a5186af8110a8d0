"""What each page tells the browser: run only our own files, frame nothing, keep nothing."""

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# `trusted-types` names the one policy (static/swap.js) that may turn text of ours into markup.
CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types holdfast",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    # With no-referrer, browsers send `Origin: null` with forms and we could not tell whose it is.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
# Programs have their own rules; they get JSON, which no browser runs.
_FOR_PROGRAMS = ("/api/", "/healthz")


def is_page(path: str) -> bool:
    """Say whether a path is for people, and not for programs."""
    return not path.startswith(_FOR_PROGRAMS)


def wants_page(request: Request) -> bool:
    """Say whether a person's browser asks, rather than a program."""
    return is_page(request.url.path) and "text/html" in request.headers.get("accept", "")


class PageHeaders:
    """Adds the headers to everything that is for people; pages are not kept, files are checked."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the headers to its answer."""
        if scope["type"] != "http" or not is_page(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                static = scope["path"].startswith("/static/")
                headers["Cache-Control"] = "no-cache" if static else "no-store"
            await send(message)

        await self._app(scope, receive, send_with_headers)

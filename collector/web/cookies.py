"""The cookie that carries a session: its name and flags follow from the public address."""

from fastapi.responses import Response


def cookie_name(base_url: str) -> str:
    """Return its name; with the prefix a browser takes it from this very host by HTTPS only."""
    return "__Host-holdfast" if base_url.startswith("https://") else "holdfast"


def set_session(response: Response, base_url: str, value: str, *, max_age_s: int) -> None:
    """Have the browser keep a session. Links from chat lead here, so same-site is lax."""
    response.set_cookie(
        cookie_name(base_url),
        value,
        max_age=max_age_s,
        path="/",
        secure=base_url.startswith("https://"),
        httponly=True,
        samesite="lax",
    )


def drop_session(response: Response, base_url: str) -> None:
    """Have the browser forget its session."""
    response.delete_cookie(
        cookie_name(base_url),
        path="/",
        secure=base_url.startswith("https://"),
        httponly=True,
        samesite="lax",
    )

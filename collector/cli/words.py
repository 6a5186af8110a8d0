"""Times and ids as people type them at the command line, and ids as it prints them."""

import re
from datetime import UTC, datetime, timedelta

from collector.cli.errors import UsageError

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LISTS = {"session": "pending", "request": "pending", "grant": "grants", "quarantine": "quarantine"}
_ID = re.compile(r"[0-9a-f]{6,32}")


def short(request: str, others: list[str]) -> str:
    """Return the shortest prefix of an id, of eight digits or more, that no other id has."""
    for length in range(8, len(request)):
        if not any(one != request and one.startswith(request[:length]) for one in others):
            return request[:length]
    return request


def check_prefix(text: str, *, what: str = "request") -> str:
    """Return an id of a request or of `what`, or a prefix of one; raise UsageError otherwise."""
    prefix = text.strip().lower()
    if not _ID.fullmatch(prefix):
        raise UsageError(
            "bad_id",
            f"{text[:64]!r} is not a {what} id",
            f"give 6 to 32 hexadecimal digits; `holdfast {_LISTS[what]}` lists them",
        )
    return prefix


def minutes(text: str, *, option: str) -> int:
    """Return whole minutes of a length of time such as 15m or 2h; raise UsageError."""
    match = _AGO.fullmatch(text.strip())
    seconds = 0.0
    if match is not None:
        number, unit = match.groups()
        seconds = timedelta(**{_UNITS[unit]: int(number)}).total_seconds()
    if seconds < 60 or seconds % 60:
        raise UsageError(
            "bad_time",
            f"{option} {text[:64]!r} is not a number of minutes",
            "give a length of time such as 15m or 2h",
        )
    return int(seconds // 60)


def instant(text: str | None, *, option: str) -> str | None:
    """Return a time as ISO 8601 in UTC, from ISO 8601 or from an age such as 30m, 2h or 7d."""
    if text is None:
        return None
    if match := _AGO.fullmatch(text.strip()):
        number, unit = match.groups()
        return (datetime.now(UTC) - timedelta(**{_UNITS[unit]: int(number)})).isoformat()
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError(
            "bad_time",
            f"{option} {text[:64]!r} is not a time",
            "give an age such as 30m, 2h or 7d, or a time such as 2026-05-01T10:00:00+02:00",
        ) from error
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).isoformat()

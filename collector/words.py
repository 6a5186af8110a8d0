"""Times and counts in words, the same on the pages, on the command line and in channels."""

from datetime import UTC, datetime


def clock(time_ns: int) -> str:
    """Return an instant as date and time in UTC."""
    try:
        return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "an impossible time"


def span(nanoseconds: int) -> str:
    """Return a length of time in at most two units, as 4m03s; never less than 0s."""
    seconds = max(nanoseconds, 0) // 10**9
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    if seconds < 86_400:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02}m"
    return f"{seconds // 86_400}d{seconds % 86_400 // 3600:02}h"


def left(deadline_ns: int, now_ns: int) -> str:
    """Return how long a request still waits."""
    if not deadline_ns:
        return "no deadline"
    return span(deadline_ns - now_ns) if deadline_ns > now_ns else "over"


def count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}" + ("" if number == 1 else "s")

"""Values of the trail as other systems read them: times, bytes, errno, names of files."""

import errno
import ipaddress
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

Row = Mapping[str, Any]
Facts = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(ns: int, *, digits: int = 9) -> str:
    """Return a time in UTC, `2026-11-30T12:00:00.123456789Z`, with up to nine digits."""
    seconds, rest = divmod(ns, 10**9)
    whole = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{rest:09d}"[: 20 + digits] + "Z"


def milliseconds(ns: int) -> int:
    """Return milliseconds since the epoch."""
    return ns // 10**6


def errno_name(result: int | None) -> str | None:
    """Return EACCES for -13, None for what is no failure."""
    if result is None or result >= 0:
        return None
    return errno.errorcode.get(-result, str(-result))


def base_name(path: str) -> str:
    """Return the last part of a path, and the path itself where it has none."""
    return path.rstrip("/").rpartition("/")[2] or path


def folder(path: str) -> str | None:
    """Return the directory of an absolute path."""
    return os.path.dirname(path) if path.startswith("/") else None


def ip(text: str | None) -> str | None:
    """Return an IP address, or None for anything else."""
    try:
        return str(ipaddress.ip_address(text or ""))
    except ValueError:
        return None


def plain(value: Any) -> Any:
    """Return a value as JSON has it: bytes as hex."""
    return value.hex() if isinstance(value, bytes) else value


def without_nothing(facts: Mapping[str, Any]) -> Facts:
    """Return the facts that are there: no null, no empty text or list."""
    return {name: value for name, value in facts.items() if value not in (None, "", [], {}, ())}

"""Values of audit records as bytes. The kernel writes a text of others in quotes, or in hex.

A text becomes a str of one character per byte (latin-1), so that no byte of it is lost on the way.
"""

import re
from typing import Dict, Iterable, List, Optional, Tuple

_NONE = ("(null)", "(none)", "?", "")
_NO_LOGIN = 0xFFFFFFFF


def text(raw: Optional[str]) -> Optional[str]:
    """Return what stands in a field of untrusted text, None for none; raise ValueError."""
    if raw is None or raw in _NONE:
        return None
    if raw[0] == '"':
        if len(raw) < 2 or raw[-1] != '"':
            raise ValueError("a quote does not end")
        return raw[1:-1].encode("utf-8", "surrogateescape").decode("latin-1")
    return bytes.fromhex(raw).decode("latin-1")


def number(raw: Optional[str]) -> int:
    """Return a decimal number; raise ValueError."""
    if raw is None:
        raise ValueError("a number is missing")
    return int(raw)


def hexadecimal(raw: Optional[str]) -> int:
    """Return a hexadecimal number without 0x, as the arguments of a call; raise ValueError."""
    return int(raw or "", 16)


def login(raw: Optional[str]) -> Optional[int]:
    """Return a login id, None where nobody has logged in."""
    found = number(raw)
    return None if found in (-1, _NO_LOGIN) else found


def device(raw: str) -> Tuple[int, int]:
    """Return (major, minor) of a device as `fe:00`."""
    major, _, minor = raw.partition(":")
    return int(major, 16), int(minor, 16)


_PIECE = re.compile(r"a(\d+)(?:\[(\d+)\])?$")


def arguments(fields: Iterable[Tuple[str, str]], most: int) -> Tuple[List[str], int, bool]:
    """Return (argv, argument bytes, whole) of the fields of all EXECVE records of an event.

    `fields` are (name, value) in their order. Of the arguments at most `most` bytes are kept;
    `whole` is False if that cut something, or if a record is missing.
    """
    count = None
    pieces: Dict[int, List[str]] = {}
    for name, value in fields:
        if name == "argc":
            count = int(value)
            continue
        found = _PIECE.match(name)
        if found is not None:
            pieces.setdefault(int(found.group(1)), []).append(value)
    argv: List[str] = []
    total, whole = 0, count is not None and len(pieces) == count
    for position in range(count or 0):
        if position not in pieces:
            return argv, total, False
        one = pieces[position]
        # A long one is cut into pieces of hex, which may part anywhere but within a byte.
        value = (text(one[0]) or "") if len(one) == 1 else _joined(one)
        if total + len(value) + 1 > most:
            whole = False
            kept = max(most - total, 0)
            if kept:
                argv.append(value[:kept])
            most = 0
        elif most:
            argv.append(value)
        total += len(value) + 1
    return argv, total, whole


def _joined(pieces: List[str]) -> str:
    if all(piece[:1] == '"' for piece in pieces):
        return "".join(text(piece) or "" for piece in pieces)
    return bytes.fromhex("".join(pieces)).decode("latin-1")

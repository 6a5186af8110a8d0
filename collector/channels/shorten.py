r"""Shortens text that was sanitised already, for services that take only so much.

Escapes are never cut in two: half of one could look like a mark, `\{...}`, that we did not write.
"""

import re

from collector.sanitize import Clean, byte_length, short_digest

_TOKEN = re.compile(
    r"\\(?:\{[^{}]*\}|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)|.", re.DOTALL | re.ASCII
)


def shorten(text: str, limit: int) -> Clean:
    """Return `text` in at most about `limit` characters: start, a mark of what is left out, end."""
    if len(text) <= limit:
        return Clean(text, 0)
    tokens: list[str] = _TOKEN.findall(text)
    head = _fitting(tokens, limit * 3 // 4)
    tail = _fitting(tokens[: len(head) - 1 : -1] if head else tokens[::-1], limit - limit * 3 // 4)
    shown = "".join(head), "".join(reversed(tail))
    hidden = byte_length(text) - byte_length(shown[0]) - byte_length(shown[1])
    mark = rf"\{{{hidden} bytes hidden, sha256 {short_digest(text)}}}"
    return Clean(shown[0] + mark + shown[1], hidden)


def _fitting(tokens: list[str], room: int) -> list[str]:
    fitting = []
    for token in tokens:
        room -= len(token)
        if room < 0:
            break
        fitting.append(token)
    return fitting

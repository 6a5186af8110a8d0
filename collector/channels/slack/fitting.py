"""Fits the lines of a card into Slack's room: both ends of a line stay, what is left out counts."""

from collections.abc import Sequence
from dataclasses import dataclass

from collector.channels.shorten import shorten
from collector.channels.slack.elements import cost
from collector.sanitize import byte_length

# How long each line may be, tried from the most; Slack's room is rarely less than what there is.
_CAPS = (6000, 3000, 1500, 800, 400, 200, 100)
# For the line that counts the lines which do not fit at all.
_LAST_LINE = 80


@dataclass(frozen=True, slots=True)
class Fitted:
    """Lines that fit, and how many bytes (UTF-8) of the lines given are not among them."""

    lines: tuple[str, ...]
    hidden_bytes: int


def fitted(lines: Sequence[str], room: int) -> Fitted:
    """Return as much of the lines as fits into `room` characters of ASCII JSON."""
    for cap in _CAPS:
        cut = [shorten(line, cap) for line in lines]
        if sum(_cost_of_line(one.text) for one in cut) <= room:
            return Fitted(tuple(one.text for one in cut), sum(one.hidden_bytes for one in cut))
    return _first_of(lines, room)


def _first_of(lines: Sequence[str], room: int) -> Fitted:
    """Return the shortened lines that fit from the top, and a last one that counts the others."""
    shown: list[str] = []
    hidden = 0
    left = room - _LAST_LINE
    for at, line in enumerate(lines):
        short = shorten(line, _CAPS[-1])
        left -= _cost_of_line(short.text)
        if left < 0:
            rest = sum(map(byte_length, lines[at:]))
            shown.append(rf"\{{{len(lines) - at} more lines, {rest} bytes hidden}}")
            return Fitted(tuple(shown), hidden + rest)
        shown.append(short.text)
        hidden += short.hidden_bytes
    return Fitted(tuple(shown), hidden)


def _cost_of_line(text: str) -> int:
    return cost(text) + 2  # with its line break, which is two characters in JSON

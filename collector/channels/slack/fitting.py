"""Fits the lines of a card into Slack's room: both ends of a line stay, what is left out counts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from collector.channels.slack.elements import cost
from collector.sanitize import byte_length

# How long each line may be, tried from the most; Slack's room is rarely less than what there is.
_CAPS = (6000, 3000, 1500, 800, 400, 200, 100)
# What the sanitiser writes for one character is never cut in two.
_UNIT = re.compile(r"\\(?:\{[^}]*\}|x..|u....|U.{8}|.)|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fitted:
    """Lines that fit, and how many bytes (UTF-8) of the lines given are not among them."""

    lines: tuple[str, ...]
    hidden_bytes: int


def fitted(lines: Sequence[str], room: int) -> Fitted:
    """Return as much of the lines as fits into `room` characters of ASCII JSON."""
    for cap in _CAPS:
        cut = [_shortened(line, cap) for line in lines]
        if sum(cost(text) + 2 for text, _ in cut) <= room:
            return Fitted(tuple(text for text, _ in cut), sum(hidden for _, hidden in cut))
    return _first_of(lines, room)


def _first_of(lines: Sequence[str], room: int) -> Fitted:
    """Return the shortened lines that fit from the top, and a last one that counts the others."""
    shown: list[str] = []
    hidden = 0
    left = room - 80  # for the last line
    for at, line in enumerate(lines):
        text, lost = _shortened(line, _CAPS[-1])
        left -= cost(text) + 2
        if left < 0:
            rest = sum(map(byte_length, lines[at:]))
            shown.append(rf"\{{{len(lines) - at} more lines, {rest} bytes hidden}}")
            return Fitted(tuple(shown), hidden + rest)
        shown.append(text)
        hidden += lost
    return Fitted(tuple(shown), hidden)


def _shortened(line: str, cap: int) -> tuple[str, int]:
    """Return a line in about `cap` characters of JSON, its middle left out, and the bytes lost."""
    if cost(line) <= cap:
        return line, 0
    units = _UNIT.findall(line)
    head = _within(units, cap * 3 // 4)
    tail = _within(units[len(head) :][::-1], cap // 4)[::-1]
    middle = units[len(head) : len(units) - len(tail)]
    lost = byte_length("".join(middle))
    return f"{''.join(head)}\\{{{lost} bytes hidden}}{''.join(tail)}", lost


def _within(units: Sequence[str], room: int) -> list[str]:
    kept = []
    for unit in units:
        room -= cost(unit)
        if room < 0:
            break
        kept.append(unit)
    return kept

"""Answers of the trail as docs/trail.md shows them."""

import datetime as dt
from collections.abc import Sequence
from typing import Any


def shown(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return an answer as a table of Markdown."""
    lines = [_line(names), _line(["---"] * len(names))]
    return "\n".join([*lines, *(_line([_value(value) for value in row]) for row in rows)])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _value(value: Any) -> str:
    match value:
        case None:
            return ""
        case dt.datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S")
        case str():
            return value.replace("|", "\\|")
    return str(value)

"""One finding: what is so, why it matters, and what exactly to do."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters, least first."""

    OK = "ok"
    NOTE = "note"  # good to know; the mode or a rule deals with it
    WARNING = "warning"  # a door that somebody watched may use
    PROBLEM = "problem"  # Holdfast cannot work here, or does not bind


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found. `check` is its stable name; `remedy` is empty where none is needed."""

    check: str
    level: Level
    what: str
    why: str = ""
    remedy: str = ""


def good(check: str, what: str) -> Finding:
    """Return the finding of a check that has nothing to say against this host."""
    return Finding(check=check, level=Level.OK, what=what)


def worst(*levels: Level) -> Level:
    """Return the level that matters most."""
    order = list(Level)
    return max(levels, key=order.index, default=Level.OK)

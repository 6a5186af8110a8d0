"""The second line of redaction, at the centre: what people type, and what a host let through.

A host takes secrets out before anything leaves it. Here the same code looks again: at what comes
in from people and programs, before it is stored, and at what is shown, also of hosts whose agent is
older. Only what is known by its form or name counts here: what merely looks random is for the host
to judge, which can be told better.
"""

from collections.abc import Sequence

from wire.redaction.finder import Finder, Found
from wire.redaction.redactor import Redactor
from wire.redaction.settings import ENTROPY, Settings

Span = tuple[int, int]

_SHOWN = Finder(Settings(off=frozenset({ENTROPY})), again=True)
# Without a key: two centres could have no common one that nobody else has.
REDACTOR = Redactor()


def secrets_in(text: str) -> list[Span]:
    """Return the sorted, separate (start, end) spans of `text` that hold a secret."""
    return _spans(_SHOWN.in_text(text))


def secrets_in_arguments(argv: Sequence[str]) -> Sequence[list[Span]]:
    """Return the spans of each argument; `--password x` hides the argument after it as well."""
    return [_spans(found) for found in _SHOWN.in_arguments(argv)]


def secrets_in_variable(name: str, value: str) -> list[Span]:
    """Return the spans of an environment variable's value that hold a secret."""
    return _spans(_SHOWN.in_variable(name, value))


def _spans(found: Sequence[Found]) -> list[Span]:
    return [(one.start, one.end) for one in found]

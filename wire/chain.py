"""The hash chain over batches of events, from values that the trail keeps. Pure.

Its words are canonical JSON: UTF-8, no spaces, the keys of an object in order, nothing escaped that
need not be. What it covers and how is said in docs/trail-proof.md, for those who check it by
themselves.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

import msgspec

from wire.errors import MessageError
from wire.ids import HostId

PACKED = 1  # the digest is over the message as it was sent, so nobody can make it again from rows
ROWS = 2  # the digest is over the rows
NOTHING_BEFORE = "0" * 64

Columns = Mapping[str, Sequence[object]]


@dataclass(frozen=True, slots=True)
class Group:
    """The events of one kind in one batch; `leaf` is the digest (hex) over them."""

    kind: str
    count: int
    leaf: str


@dataclass(frozen=True, slots=True)
class Link:
    """The place of a batch in the chain, and what goes into it.

    `gap_events`: how many events its rows of kind gap stand for; `last_event_ns`: the newest time
    in it; `chain` (hex): what the next batch carries as `previous`.
    """

    chain: str
    groups: tuple[Group, ...]
    gap_events: int
    last_event_ns: int | None


def link(host: HostId, sequence: int, first: int, previous: str, columns: Columns) -> Link:
    """Return the link of a batch; raise MessageError as `groups` does."""
    parts = groups(host, sequence, first, columns)
    gaps = [place for place, kind in enumerate(columns["kind"]) if kind == "gap"]
    try:
        newest: Any = max(columns["time_ns"], default=None)  # type: ignore[type-var]
        lost: Any = sum(columns["count"][place] for place in gaps)
    except TypeError as error:
        raise MessageError(f"events: a time or a count is not a number: {error}") from error
    count = len(columns["kind"])
    head = (host, sequence, first, count, previous, lost, newest, _plain(parts))
    chain = hashlib.sha256(_canonical(("holdfast chain 2", *head))).hexdigest()
    return Link(chain, parts, lost, newest)


def groups(host: HostId, sequence: int, first: int, columns: Columns) -> tuple[Group, ...]:
    """Return the groups of a batch, by kind; raise MessageError for what JSON cannot say.

    `columns` has all that were sent, of the same length; what is absent altogether in a group
    does not count, so that a column which is added later changes no leaf of before.
    """
    kinds = columns["kind"]
    if any(len(values) != len(kinds) for values in columns.values()):
        raise MessageError("events: the columns are not of one length; the sender is broken")
    filled = {name: values for name, values in columns.items() if not absent(values)}
    filled.pop("kind", None)
    filled["number"] = list(range(first, first + len(kinds)))
    if kinds and kinds.count(kinds[0]) == len(kinds):
        one = str(kinds[0])
        return (Group(one, len(kinds), leaf(host, sequence, one, filled)),)
    words = [str(kind) for kind in kinds]
    # Each column is brought into the order of the kinds once; a group is a stretch of it.
    order = sorted(range(len(words)), key=words.__getitem__)
    arranged = (
        {name: itemgetter(*order)(values) for name, values in filled.items()} if order else {}
    )
    parts = []
    start = 0
    for one, count in sorted(Counter(words).items()):
        chosen = {name: values[start : start + count] for name, values in arranged.items()}
        parts.append(Group(one, count, leaf(host, sequence, one, chosen)))
        start += count
    return tuple(parts)


def groups_text(parts: Sequence[Group]) -> str:
    """Return groups as the trail keeps them: JSON, a list of kind, count and leaf for each."""
    return _canonical(_plain(parts)).decode()


def _plain(parts: Sequence[Group]) -> list[tuple[str, int, str]]:
    return [(one.kind, one.count, one.leaf) for one in parts]


def leaf(host: HostId, sequence: int, kind: str, columns: Columns) -> str:
    """Return the digest (hex) over the events of one kind in a batch, `number` among the columns.

    Raises MessageError for what JSON cannot say.
    """
    # Piece by piece, since the text of a whole batch is long.
    made = hashlib.sha256(_canonical(("holdfast leaf 2", host, sequence, kind))[:-1])
    before = b",{"
    for name in sorted(columns):
        if not absent(columns[name]):
            made.update(before + _name(name) + b":" + _canonical(columns[name]))
            before = b","
    made.update(b"}]")
    return made.hexdigest()


def absent(values: Sequence[object]) -> bool:
    """Return whether no event has a value."""
    return not values or (values[0] is None and values.count(None) == len(values))


def _canonical(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, msgspec.EncodeError) as error:
        raise MessageError(f"a value of an event cannot be said in JSON: {error}") from error


@lru_cache(maxsize=256)
def _name(name: str) -> bytes:
    return _canonical(name)

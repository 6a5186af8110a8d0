"""Batches of events to Arrow, checked against their chain. Pure; what is off is a MessageError.

Batches that come together become Arrow together.
"""

import itertools
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from collector.trail import schema
from collector.trail.chain import Break
from wire import chain
from wire.codec import chain_digest
from wire.errors import MessageError
from wire.events import NAMES, check_columns
from wire.ids import HostId
from wire.messages import EventBatch

_TEXT_TYPE = frozenset({str})
_AS_SENT: Mapping[pa.DataType, frozenset[type]] = {
    pa.int64(): frozenset({int, type(None)}),
    pa.string(): frozenset({str, type(None)}),
    pa.list_(pa.string()): frozenset({list, type(None)}),
}


@dataclass(frozen=True, slots=True)
class EventRows:
    """One batch of events, checked and ready to append.

    `chain` is made here, not the host's word, and `groups` are what it is made of. `odd` is what
    is wrong with the batch by itself.
    """

    host: HostId
    sequence: int
    first: int
    count: int
    previous: str
    chain: str
    last_event_ns: int | None
    gap_events: int
    chain_version: int
    groups: str
    odd: tuple[Break, ...]
    data: pa.Table


def event_rows(message: EventBatch, packed: bytes) -> EventRows:
    """Return a checked batch as Arrow; raise MessageError if a column is not what it must be.

    `packed` are the bytes of the message, which the chain of earlier agents is over.
    """
    head = _head(message, packed)
    return replace(head, data=_table([message], [head]))


def events_together(batches: Sequence[tuple[EventBatch, bytes]]) -> list[EventRows | MessageError]:
    """Return for each batch what `event_rows` does, or raises.

    Their columns become Arrow together, which costs for one that is small as much as for all.
    """
    found: list[EventRows | MessageError] = []
    messages: list[EventBatch] = []
    for message, packed in batches:
        try:
            found.append(_head(message, packed))
            messages.append(message)
        except MessageError as error:
            found.append(error)
    heads = [one for one in found if isinstance(one, EventRows)]
    try:
        table = _table(messages, heads)
    except MessageError:
        return [_alone(message, packed) for message, packed in batches]
    start = 0
    for place, head in enumerate(found):
        if isinstance(head, EventRows):
            found[place] = replace(head, data=table.slice(start, head.count))
            start += head.count
    return found


def _alone(message: EventBatch, packed: bytes) -> EventRows | MessageError:
    try:
        return event_rows(message, packed)
    except MessageError as error:
        return error


_NO_ROWS = schema.EVENTS.schema.empty_table()


def _head(message: EventBatch, packed: bytes) -> EventRows:
    """Return a batch without its events; raise MessageError as `event_rows` does."""
    check_columns(message)
    _fits(message.sequence, message.first + message.count)
    link = chain.link(
        message.host, message.sequence, message.first, message.previous, message.columns
    )
    _fits(link.gap_events)
    known = message.chain_version == chain.ROWS
    return EventRows(
        host=message.host,
        sequence=message.sequence,
        first=message.first,
        count=message.count,
        previous=message.previous,
        chain=link.chain if known else chain_digest(packed),
        last_event_ns=link.last_event_ns,
        gap_events=link.gap_events,
        chain_version=message.chain_version,
        groups=chain.groups_text(link.groups) if known else "[]",
        odd=_odd(message, link.chain) if known else (),
        data=_NO_ROWS,
    )


def _table(messages: Sequence[EventBatch], heads: Sequence[EventRows]) -> pa.Table:
    """Return the events of batches, one after the other."""
    hosts = [pa.repeat(pa.scalar(one.host, pa.string()), one.count) for one in heads]
    batches = [pa.repeat(pa.scalar(one.sequence, pa.int64()), one.count) for one in heads]
    numbers = [pa.array(range(one.first, one.first + one.count), pa.int64()) for one in heads]
    arrays = [
        *(
            pa.chunked_array(parts, kind).combine_chunks()
            for parts, kind in ((hosts, pa.string()), (numbers, pa.int64()), (batches, pa.int64()))
        ),
        *(_column(messages, field) for field in schema.EVENT_COLUMNS),
    ]
    return pa.Table.from_arrays(arrays, schema=schema.EVENTS.schema)


def _odd(message: EventBatch, made: str) -> tuple[Break, ...]:
    """Return what is wrong with a batch of chain 2 that nothing before it need be known for."""
    found: list[Break] = []
    if message.chain != made:
        words = f"the host calls its link {message.chain[:16]}…, but it is {made[:16]}…"
        found.append(Break("contents", f"batch {message.sequence}: {words}"))
    others = sorted(
        name
        for name, values in message.columns.items()
        if name not in NAMES and values.count(None) < len(values)
    )
    if others:
        words = ", ".join(reprlib.repr(name) for name in others[:8])
        found.append(Break("unknown_columns", f"not kept: {words}; upgrade the collector"))
    return tuple(found)


def _column(messages: Sequence[EventBatch], field: pa.Field) -> pa.Array:
    given = [_values(message, field) for message in messages]
    if all(one is None for one in given):
        return pa.nulls(sum(message.count for message in messages), field.type)
    values = list(
        itertools.chain.from_iterable(
            itertools.repeat(None, message.count) if one is None else one
            for message, one in zip(messages, given, strict=True)
        )
    )
    try:
        # Arrow takes a 2.0 for a 2. The chain is over what was sent, and must be over what is kept.
        if not _AS_SENT[field.type].issuperset(map(type, values)):
            raise TypeError(f"{field.type} was expected")
        if pa.types.is_list(field.type) and not _TEXT_TYPE.issuperset(map(type, _inside(values))):
            raise TypeError("lists of text were expected")
        array = pa.array(values, field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise MessageError(f"events: column {field.name}: {error}") from error
    if not field.nullable and array.null_count:
        raise MessageError(f"events: column {field.name} has an absent value")
    return array


def _inside(lists: Iterable[Any]) -> Iterator[object]:
    """Yield the values of lists, of which some are absent."""
    return itertools.chain.from_iterable(filter(None, lists))


def _values(message: EventBatch, field: pa.Field) -> Sequence[object] | None:
    """Return the values of a column; None: there are none, or all are absent and may be."""
    values = message.columns.get(field.name)
    # There is none from an agent that does not know the column yet.
    if values is None or (field.nullable and chain.absent(values)):
        return None
    return values


def _fits(*numbers: int) -> None:
    if any(not -(2**63) <= number < 2**63 for number in numbers):
        raise MessageError("events: sequence, first or count does not fit into 64 bits")

"""Messages to rows of the trail. Pure; a value that does not fit is a MessageError.

Events become Arrow at once, by the batch; other rows are checked, and become Arrow in the writer,
all of one table together.
"""

import json
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import pyarrow as pa
import pyarrow.compute as pc

from collector.trail import schema
from collector.trail.chain import Break
from wire import chain
from wire.codec import chain_digest
from wire.errors import MessageError
from wire.events import NAMES, check_columns
from wire.ids import HostId, request_of
from wire.messages import (
    Comment,
    Decision,
    EventBatch,
    HoldOpened,
    HoldState,
    HostRecord,
    Vote,
)


@dataclass(frozen=True, slots=True)
class Row:
    """A checked row of one table: a value for each column, by name."""

    table: schema.Table
    values: Mapping[str, object]


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


def opened_row(message: HoldOpened, packed: bytes, now_ns: int) -> Row:
    """Return the row of a hold."""
    act, rule = message.act, message.rule
    return checked_row(
        schema.HOLDS,
        {
            "hold": message.hold,
            "request": request_of(message.hold),
            "host": message.host,
            "host_name": message.host_name,
            "boot_id": message.boot_id,
            "opened_ns": message.opened_ns,
            "deadline_boot_ns": message.deadline_boot_ns,
            "deadline_ns": message.deadline_ns,
            "owner": message.owner,
            "rule": rule.id,
            "rule_description": rule.description,
            "severity": rule.severity.value,
            "reason_required": rule.reason_required,
            "on_timeout": rule.on_timeout.value,
            "kill": rule.kill.value,
            "ruleset": rule.ruleset,
            "digest": message.digest,
            "kind": act.kind.value,
            "guarantee": act.guarantee.value,
            "subject": act.subject,
            "session": act.session,
            "pid": act.process.pid,
            "uid": act.process.uid,
            "user": act.user,
            "login_uid": act.login_uid,
            "login_user": act.login_user,
            "executable": act.executable,
            "argv": list(act.argv),
            "cwd": act.cwd,
            "path": act.path,
            "transport": None if act.transport is None else act.transport.value,
            "address": act.address,
            "port": act.port,
            "act": json.dumps(asdict(act), ensure_ascii=False),
            "message": packed,
            "received_ns": now_ns,
            "claim": message.claim,
            "claim_ns": message.claim_ns,
            "session_name": message.session_name,
            "second_path": act.second_path,
            "operation": act.operation,
            "target_pid": act.target.pid if act.target else None,
            "target_comm": act.target.comm if act.target else "",
            "on_deny": rule.on_deny.value,
            "on_no_agent": rule.on_no_agent.value,
        },
    )


def state_row(message: HoldState, now_ns: int) -> Row:
    """Return the row of a later state of a hold."""
    return checked_row(schema.HOLD_STATES, _flat(message) | {"received_ns": now_ns})


def vote_row(message: Vote, signed_by: str, now_ns: int) -> Row:
    """Return the row of a vote."""
    wanted = message.grant
    return checked_row(
        schema.VOTES,
        _flat(message)
        | {
            "signed_by": signed_by,
            "received_ns": now_ns,
            "grant_minutes": wanted.minutes if wanted else None,
            "grant_uses": wanted.uses if wanted else None,
            "grant_whole_subject": wanted.whole_subject if wanted else None,
        },
    )


def card_row(message: Vote, signed_by: str, now_ns: int) -> Row:
    """Return the row of the card that a vote names and brings along."""
    return checked_row(
        schema.CARDS,
        {
            "card": message.card,
            "request": message.request,
            "content": message.shown,
            "signed_by": signed_by,
            "received_ns": now_ns,
        },
    )


def comment_row(message: Comment, signed_by: str, now_ns: int) -> Row:
    """Return the row of a comment."""
    return _signed(schema.COMMENTS, message, signed_by, now_ns)


def decision_row(message: Decision, signed_by: str, now_ns: int) -> Row:
    """Return the row of a decision."""
    return _signed(schema.DECISIONS, message, signed_by, now_ns)


def host_row(message: HostRecord, digest: str, now_ns: int) -> Row:
    """Return the row of what a host said of itself."""
    return checked_row(schema.HOSTS, asdict(message) | {"record": digest, "received_ns": now_ns})


def rejected_row(facts: Mapping[str, object]) -> Row:
    """Return the row of a message that was not taken."""
    return checked_row(schema.REJECTED, facts)


def event_rows(message: EventBatch, packed: bytes) -> EventRows:
    """Return a checked batch as Arrow; raise MessageError if a column is not what it must be.

    `packed` are the bytes of the message, which the chain of earlier agents is over.
    """
    check_columns(message)
    _fits(message.sequence, message.first + message.count)
    columns = {field.name: _column(message, field) for field in schema.EVENT_COLUMNS}
    link = chain.link(
        message.host, message.sequence, message.first, message.previous, message.columns
    )
    _fits(link.gap_events)
    known = message.chain_version == chain.ROWS
    one_each = pa.repeat(pa.scalar(1, pa.int64()), message.count)
    arrays = [
        pa.repeat(pa.scalar(message.host, pa.string()), message.count),
        pc.cumulative_sum(one_each, start=message.first - 1),
        pa.repeat(pa.scalar(message.sequence, pa.int64()), message.count),
        *columns.values(),
    ]
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
        data=pa.Table.from_arrays(arrays, schema=schema.EVENTS.schema),
    )


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


def _column(message: EventBatch, field: pa.Field) -> pa.Array:
    values = message.columns.get(field.name)
    # There is none from an agent that does not know the column yet.
    if values is None or (field.nullable and chain.absent(values)):
        return pa.nulls(message.count, field.type)
    lists = pa.types.is_list(field.type)
    try:
        # Arrow takes a 2.0 for a 2. The chain is over what was sent, and must be over what is kept.
        if not _AS_SENT[field.type].issuperset(map(type, values)):
            raise TypeError(f"{field.type} was expected")
        if lists and not all(_is_texts(value) for value in values if value is not None):
            raise TypeError("lists of text were expected")
        array = pa.array(values, field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise MessageError(f"events: column {field.name}: {error}") from error
    if not field.nullable and array.null_count:
        raise MessageError(f"events: column {field.name} has an absent value")
    return array


def arrow_of(table: schema.Table, rows: Sequence[Row]) -> pa.Table:
    """Return checked rows of one table as Arrow."""
    return pa.Table.from_pylist([dict(row.values) for row in rows], schema=table.schema)


def _signed(table: schema.Table, message: Comment | Decision, signed_by: str, now_ns: int) -> Row:
    return checked_row(table, _flat(message) | {"signed_by": signed_by, "received_ns": now_ns})


def _flat(message: HoldState | Vote | Comment | Decision) -> dict[str, object]:
    """Return the fields of a message that has only plain values, which need no copy."""
    return {field.name: getattr(message, field.name) for field in fields(message)}


def checked_row(table: schema.Table, values: Mapping[str, object]) -> Row:
    """Return a row; raise MessageError if a value is missing or does not fit."""
    for name, nullable, fits in _COLUMNS[table.name]:
        value = values.get(name)
        if value is None:
            if not nullable:
                raise MessageError(f"{table.name}: {name} is missing")
        elif not fits(value):
            raise MessageError(f"{table.name}: a value does not fit: {name}")
    return Row(table, values)


def _is_text(value: object) -> bool:
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:  # half a surrogate pair
        return False


def _is_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_text, value))


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


_AS_SENT: Mapping[pa.DataType, frozenset[type]] = {
    pa.int64(): frozenset({int, type(None)}),
    pa.string(): frozenset({str, type(None)}),
    pa.list_(pa.string()): frozenset({list, type(None)}),
}
# What Arrow would take for each type, so that the writer meets nothing that it refuses.
_CHECKS: Mapping[pa.DataType, Callable[[object], bool]] = {
    pa.int64(): _is_int,
    pa.string(): _is_text,
    pa.bool_(): lambda value: isinstance(value, bool),
    pa.binary(): lambda value: isinstance(value, bytes),
    pa.list_(pa.string()): _is_texts,
}
_COLUMNS = {
    table.name: tuple((one.name, one.nullable, _CHECKS[one.type]) for one in table.schema)
    for table in schema.TABLES
}


def _fits(*numbers: int) -> None:
    if any(not -(2**63) <= number < 2**63 for number in numbers):
        raise MessageError("events: sequence, first or count does not fit into 64 bits")

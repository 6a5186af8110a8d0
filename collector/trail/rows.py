"""Messages to rows of the trail. Pure; a value that does not fit is a MessageError.

They are checked here, and become Arrow in the writer, all of one table together. Events are
elsewhere: see event_rows.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import pyarrow as pa

from collector.trail import schema
from wire.errors import MessageError
from wire.ids import request_of
from wire.messages import (
    Comment,
    Decision,
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

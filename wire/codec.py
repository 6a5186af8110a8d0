"""Messages to bytes and back: a msgpack map of version, type and body, checked field by field.

Strict both ways: a key that this side does not know may change what a message means, so it is
refused, as is one that stands twice. Columns of events alone may be more than are known.
"""

import hashlib
import reprlib
from dataclasses import replace
from typing import Any, TypeVar

import msgpack
import msgspec

from wire.acts import Act, Process
from wire.errors import MessageError
from wire.messages import (
    AskOpened,
    Comment,
    Decision,
    EventBatch,
    HoldOpened,
    HoldState,
    HostRecord,
    Message,
    RuleFacts,
    Verdict,
    Vote,
    WantedGrant,
)
from wire.orders import Covered, FileState, Grant, GrantRevoked, Quarantine, QuarantineLifted

VERSION = 1
# nats-server's default max_payload is 1 MiB; a message must fit with its headers.
LARGEST = 1_000_000

_TYPES: dict[str, type[Any]] = {
    kind.type: kind
    for kind in (
        HoldOpened,
        HoldState,
        AskOpened,
        Vote,
        Comment,
        Decision,
        Verdict,
        Grant,
        GrantRevoked,
        Quarantine,
        QuarantineLifted,
        HostRecord,
        EventBatch,
    )
}

# The fields that are values of several keys themselves, or lists of them.
_PARTS: dict[type[Any], dict[str, type[Any]]] = {
    HoldOpened: {"rule": RuleFacts, "act": Act, "program": FileState},
    Vote: {"grant": WantedGrant},
    Grant: {"covers": Covered},
    Covered: {"program": FileState},
    Act: {"process": Process, "ancestors": Process, "target": Process},
}
_LONGEST_WORDS = 300

M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """Return the bytes of a message; raise MessageError if it has a value that cannot be sent.

    Such are numbers of more than 64 bits, text that is not Unicode, and more than fits in one.
    """
    try:
        packed: bytes = msgpack.packb(
            {"v": VERSION, "t": message.type, "b": _body(message)}, use_bin_type=True
        )
    except (ValueError, OverflowError, TypeError) as error:
        raise MessageError(f"{message.type}: a value cannot be sent: {error}; mend it") from error
    return checked(message, packed)


def checked(message: Message, packed: bytes) -> bytes:
    """Return `packed`, the bytes of the message; raise MessageError if they do not fit in one."""
    if len(packed) > LARGEST:
        raise MessageError(
            f"{message.type}: {len(packed)} bytes are more than a message may have ({LARGEST}); "
            "send it in parts"
        )
    return packed


def _body(message: Message) -> dict[str, Any]:
    # A batch's columns are plain already, and long: they are not copied.
    body: dict[str, Any] = (
        {name: getattr(message, name) for name in message.__dataclass_fields__}
        if isinstance(message, EventBatch)
        else msgspec.to_builtins(message)
    )
    body.pop("type", None)
    return body


def decode(data: bytes) -> Message:
    """Return the message in `data`; raise MessageError that names the field and the remedy."""
    if len(data) > LARGEST:
        raise MessageError(
            f"message of {len(data)} bytes is larger than any may be ({LARGEST}); it is not "
            "Holdfast's"
        )
    try:
        outer = msgpack.unpackb(data, raw=False, object_pairs_hook=_map)
    except (ValueError, msgpack.exceptions.UnpackException) as error:
        why = str(error)[:_LONGEST_WORDS] or "cut short, or nested too deep"
        raise MessageError(
            f"message of {len(data)} bytes is not msgpack ({why}); it was cut or is not Holdfast's"
        ) from error
    if not isinstance(outer, dict) or outer.keys() != {"v", "t", "b"}:
        raise MessageError("message is not a version, a type and a body; it is not Holdfast's")
    version, name, body = outer["v"], outer["t"], outer["b"]
    if type(version) is not int or version != VERSION:
        raise MessageError(
            f"message has version {reprlib.repr(version)}, not {VERSION}; upgrade the older side"
        )
    kind = _TYPES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise MessageError(f"message type {reprlib.repr(name)} is unknown; upgrade the older side")
    _only_known_keys(body, kind, kind.type)
    columns = _plain_columns(body) if kind is EventBatch else None
    try:
        # Checked already, and long: they are not copied.
        message: Message = msgspec.convert(body | {"columns": {}} if columns else body, kind)
    except msgspec.ValidationError as error:
        why = str(error)[:_LONGEST_WORDS]
        raise MessageError(f"{kind.type}: {why}; the sender is broken or forged") from error
    return (
        replace(message, columns=columns)
        if isinstance(message, EventBatch) and columns
        else message
    )


def _plain_columns(body: object) -> dict[str, list[object]] | None:
    """Return the columns of a batch if they are what they must be: lists, by names."""
    columns = body.get("columns") if isinstance(body, dict) else None
    if type(columns) is not dict or not all(
        type(name) is str and type(values) is list for name, values in columns.items()
    ):
        return None
    return columns


def _map(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise MessageError("message has a key twice; the sender is broken or forged")
    return made


def _only_known_keys(value: object, kind: type[Any], place: str) -> None:
    """Raise MessageError for a key that `kind` has no field for; what else is wrong is not seen."""
    if not isinstance(value, dict):
        return
    for name in value:
        if name not in kind.__dataclass_fields__:
            raise MessageError(
                f"{place}: the key {reprlib.repr(name)} is unknown; upgrade the older side"
            )
    for name, part in _PARTS.get(kind, {}).items():
        inner = value.get(name)
        for one in inner if isinstance(inner, list) else (inner,):
            _only_known_keys(one, part, f"{place}.{name}")


def decode_as(data: bytes, kind: type[M]) -> M:
    """Return the message in `data`, which must be of `kind`; raise MessageError otherwise."""
    message = decode(data)
    if not isinstance(message, kind):
        raise MessageError(f"a message of type {kind.type} was expected, not {message.type}")
    return message


def chain_digest(packed_batch: bytes) -> str:
    """Return the link (hex) of a batch of chain 1, which the next carries as `previous`.

    The batch holds its own `previous`, so one digest over its bytes chains them all.
    """
    return hashlib.sha256(b"holdfast chain 1\0" + packed_batch).hexdigest()

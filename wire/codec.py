"""Messages to bytes and back: a msgpack map of version, type and body, checked field by field."""

import hashlib
from dataclasses import asdict
from typing import Any, TypeVar

import msgpack
import msgspec

from wire.errors import MessageError
from wire.messages import (
    Comment,
    Decision,
    EventBatch,
    HoldOpened,
    HoldState,
    HostRecord,
    Message,
    Verdict,
    Vote,
)

VERSION = 1
# nats-server's default max_payload is 1 MiB; a message must fit with its headers.
LARGEST = 1_000_000

_TYPES: dict[str, type[Any]] = {
    kind.type: kind
    for kind in (
        HoldOpened,
        HoldState,
        Vote,
        Comment,
        Decision,
        Verdict,
        HostRecord,
        EventBatch,
    )
}

M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """Return the bytes of a message; raise MessageError if they would not fit in one."""
    # asdict copies every list deeply, which for a batch of columns is wasted work.
    body = (
        {name: getattr(message, name) for name in message.__dataclass_fields__}
        if isinstance(message, EventBatch)
        else asdict(message)
    )
    body.pop("type", None)
    return checked(
        message, msgpack.packb({"v": VERSION, "t": message.type, "b": body}, use_bin_type=True)
    )


def checked(message: Message, packed: bytes) -> bytes:
    """Return `packed`, the bytes of the message; raise MessageError if they do not fit in one."""
    if len(packed) > LARGEST:
        raise MessageError(
            f"{message.type}: {len(packed)} bytes are more than a message may have ({LARGEST}); "
            "send it in parts"
        )
    return packed


def decode(data: bytes) -> Message:
    """Return the message in `data`; raise MessageError that names the field and the remedy."""
    if len(data) > LARGEST:
        raise MessageError(
            f"message of {len(data)} bytes is larger than any may be ({LARGEST}); it is not "
            "Holdfast's"
        )
    try:
        outer = msgpack.unpackb(data, raw=False)
    except (ValueError, msgpack.exceptions.UnpackException) as error:
        raise MessageError(
            f"message of {len(data)} bytes is not msgpack ({error or 'cut short'}); "
            "it was cut or is not Holdfast's"
        ) from error
    if not isinstance(outer, dict) or not {"v", "t", "b"} <= outer.keys():
        raise MessageError("message has no version, type and body; it is not Holdfast's")
    if outer["v"] != VERSION:
        raise MessageError(
            f"message has version {outer['v']!r}, not {VERSION}; upgrade the older side"
        )
    kind = _TYPES.get(outer["t"]) if isinstance(outer["t"], str) else None
    if kind is None:
        raise MessageError(f"message type {outer['t']!r} is unknown; upgrade the older side")
    try:
        message: Message = msgspec.convert(outer["b"], kind)
    except msgspec.ValidationError as error:
        raise MessageError(f"{kind.type}: {error}; the sender is broken or forged") from error
    return message


def decode_as(data: bytes, kind: type[M]) -> M:
    """Return the message in `data`, which must be of `kind`; raise MessageError otherwise."""
    message = decode(data)
    if not isinstance(message, kind):
        raise MessageError(f"a message of type {kind.type} was expected, not {message.type}")
    return message


def chain_digest(packed_batch: bytes) -> str:
    """Return the link (hex) that the next batch carries as `previous`.

    The batch holds its own `previous`, so one digest over its bytes chains them all.
    """
    return hashlib.sha256(b"holdfast chain 1\0" + packed_batch).hexdigest()

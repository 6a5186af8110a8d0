"""Identifiers: opaque, unguessable, safe as one token of a NATS subject.

A host name is an attribute and never an id: it has dots, it changes and it is cloned.
"""

import re
import secrets
from typing import NewType

from wire.errors import IdError

HostId = NewType("HostId", str)
HoldId = NewType("HoldId", str)
RequestId = NewType("RequestId", str)
VoteId = NewType("VoteId", str)
VerdictId = NewType("VerdictId", str)
MessageId = NewType("MessageId", str)
OrderId = NewType("OrderId", str)

_SHAPE = re.compile(r"[0-9a-f]{32}")


def new_id() -> str:
    """Return 128 random bits as 32 hexadecimal digits, from the system's secure source."""
    return secrets.token_hex(16)


def check_id(text: str, *, place: str) -> str:
    """Return `text` if it has the shape of an id; raise IdError naming `place` otherwise."""
    if not _SHAPE.fullmatch(text):
        raise IdError(f"{place}: {text[:64]!r} is not an id (32 hexadecimal digits expected)")
    return text


def request_of(hold: HoldId) -> RequestId:
    """Return the request that a hold opens: it carries the id of its first hold.

    So a hold that is delivered twice, or to two collectors, opens one request.
    """
    return RequestId(hold)

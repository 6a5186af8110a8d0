"""Random values of the wire: every message with every field, and bytes that are nearly one."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgpack
from hypothesis import strategies as st

from wire.acts import act_digest
from wire.events import COLUMNS, ColumnType
from wire.messages import (
    AskOpened,
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
from wire.orders import Grant, GrantRevoked, Quarantine, QuarantineLifted

MESSAGES: tuple[type[Any], ...] = (
    AskOpened,
    HoldOpened,
    HoldState,
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
# Surrogates are not Unicode text, so no message can carry one.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
IDS = st.text("0123456789abcdef", min_size=32, max_size=32)
# The ends of what a column of 64 bits holds, and beyond them what msgpack can still carry.
NUMBERS = st.one_of(
    st.integers(0, 300),
    st.sampled_from([-1, -(2**63), 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]),
    st.integers(-(2**63), 2**64 - 1),
)


def _of(hint: Any) -> st.SearchStrategy[Any]:
    """Return values of a type as the messages name it."""
    hint = getattr(hint, "__supertype__", hint)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return st.one_of(*map(_of, inner))
    if origin is tuple:
        return st.lists(_of(inner[0]), max_size=4).map(tuple)
    if origin is dict:
        return st.dictionaries(_of(inner[0]), _of(inner[1]), max_size=3)
    if origin is Literal:
        return st.sampled_from(inner)
    if isinstance(hint, type) and is_dataclass(hint):
        return values_of(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return st.sampled_from([*hint])
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: st.one_of(TEXT, IDS),
        int: NUMBERS,
        bool: st.booleans(),
        type(None): st.none(),
    }
    return plain[hint]


def values_of(kind: type[Any], **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return values of a dataclass of the wire in which every field is any that its type admits."""
    hints = get_type_hints(kind)
    parts = {
        field.name: fixed[field.name] if field.name in fixed else _of(hints[field.name])
        for field in fields(kind)
    }
    return st.builds(kind, **parts)


def _column(type_: ColumnType, null: bool, count: int) -> st.SearchStrategy[list[object]]:
    value: st.SearchStrategy[Any] = {
        ColumnType.INT: st.integers(-(2**63), 2**63 - 1),
        ColumnType.TEXT: TEXT,
        ColumnType.TEXTS: st.lists(TEXT, max_size=3),
    }[type_]
    one = st.one_of(st.none(), value) if null else value
    return st.lists(one, min_size=count, max_size=count)


@st.composite
def batches(draw: st.DrawFn) -> EventBatch:
    """Return a batch whose columns are as long and of the types that they must be."""
    count = draw(st.integers(0, 4))
    return EventBatch(
        host=draw(IDS),  # type: ignore[arg-type]
        sequence=draw(st.integers(1, 2**63 - 1)),
        first=draw(st.integers(1, 2**62)),
        count=count,
        previous=draw(st.text("0123456789abcdef", min_size=64, max_size=64)),
        columns={one.name: draw(_column(one.type, one.null, count)) for one in COLUMNS},
    )


def messages(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Return valid messages of one type."""
    return batches() if kind is EventBatch else values_of(kind)


ANY_MESSAGE: st.SearchStrategy[Message] = st.sampled_from(MESSAGES).flatmap(messages)


def honest_holds(**fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[HoldOpened]:
    """Return holds whose digest is that of their act, as a collector demands."""

    def signed(hold: HoldOpened) -> HoldOpened:
        object.__setattr__(hold, "digest", act_digest(hold.act))
        return hold

    return values_of(HoldOpened, hold=IDS, host=IDS, **fixed).map(signed)


# What no field has: wrong types, numbers that are none, nests, names that are too long.
JUNK: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    st.floats(),
    TEXT,
    st.binary(max_size=20),
    st.just("x" * 5_000),
    st.lists(NUMBERS, max_size=3),
    st.dictionaries(TEXT, NUMBERS, max_size=3),
    st.just({"a": {"b": {"c": [[]]}}}),
    st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=8)),
    st.builds(msgpack.Timestamp, st.integers(0, 2**34 - 1), st.integers(0, 999_999_999)),
)


@st.composite
def mutated(draw: st.DrawFn, packed: bytes) -> bytes:
    """Return one message's bytes changed in one place of its tree: a key, a value, or a whole."""
    outer = msgpack.unpackb(packed, raw=False)
    node = outer
    while True:
        name = draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
        inner = node[name]
        if isinstance(inner, dict | list) and inner and draw(st.booleans()):
            node = inner
            continue
        break
    match draw(st.sampled_from(["value", "remove", "add"])):
        case "remove":
            del node[name]
        case "add" if isinstance(node, dict):
            node[draw(TEXT)] = draw(JUNK)
        case _:
            node[name] = draw(JUNK)
    again: bytes = msgpack.packb(outer, use_bin_type=True)
    return again


def nested(depth: int, *, of: bytes = b"\x91") -> bytes:
    """Return an array in an array, so many deep."""
    return of * depth + b"\xc0"


def packed_map(items: Mapping[str, bytes]) -> bytes:
    """Return a msgpack map of values that are packed already, so that they may be anything."""
    head: bytes = msgpack.Packer().pack_map_header(len(items))
    return head + b"".join(msgpack.packb(name) + value for name, value in items.items())

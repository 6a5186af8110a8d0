"""The columns of an event batch: one table that host and centre both read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgpack

from wire import codec
from wire.chain import PACKED, ROWS
from wire.errors import MessageError
from wire.messages import EventBatch


class ColumnType(StrEnum):
    """How a column is stored."""

    INT = "int"  # signed, 64 bits
    TEXT = "text"
    TEXTS = "texts"  # list of text


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `null` says whether a value may be absent.

    What an earlier agent has sent, or kept, has no `later` column; all its values are absent.
    """

    name: str
    type: ColumnType
    null: bool
    meaning: str
    later: bool = False


COLUMNS: tuple[Column, ...] = (
    Column("time_ns", ColumnType.INT, False, "when, nanoseconds since the epoch (UTC)"),
    Column("kind", ColumnType.TEXT, False, "what sort of act (see rules.md), gap or notice"),
    Column("subject", ColumnType.TEXT, True, "the watched subject; absent for gap and notice"),
    Column("session", ColumnType.TEXT, True, "pid-start of the first labelled process"),
    Column("pid", ColumnType.INT, True, "process (thread group)"),
    Column("tid", ColumnType.INT, True, "thread"),
    Column("uid", ColumnType.INT, True, "user at the moment of the act"),
    Column("gid", ColumnType.INT, True, "group at the moment of the act"),
    Column("login_uid", ColumnType.INT, True, "audit login id; absent for a service"),
    Column("program", ColumnType.TEXT, True, "exec: the new program; otherwise the actor's comm"),
    Column("argv", ColumnType.TEXTS, True, "exec: the kernel's committed arguments"),
    Column("path", ColumnType.TEXT, True, "file or socket path"),
    Column("device", ColumnType.INT, True, "of the file, as os.stat gives it"),
    Column("inode", ColumnType.INT, True, "of the file"),
    Column("flags", ColumnType.TEXT, True, "open flags and marks, comma separated"),
    Column("transport", ColumnType.TEXT, True, "tcp, udp, unix, raw or other"),
    Column("address", ColumnType.TEXT, True, "IPv4 or IPv6 address"),
    Column("port", ColumnType.INT, True, "port"),
    Column("result", ColumnType.INT, True, "the call's result, negative errno on failure"),
    Column("guarantee", ColumnType.TEXT, True, "held, stopped or late"),
    Column("action", ColumnType.TEXT, True, "observe, ask, deny or allow"),
    Column("rule", ColumnType.TEXT, True, "id of the rule that decided the action"),
    Column("hold", ColumnType.TEXT, True, "the hold that this act became"),
    Column(
        "count",
        ColumnType.INT,
        False,
        "how many acts that are the same, read together; of a gap, how many events were lost",
    ),
    Column("detail", ColumnType.TEXT, True, "notice: its name and words, 'name: words'"),
    Column(
        "second_path",
        ColumnType.TEXT,
        True,
        "rename, link: the new name; symlink: what it says; mount: what is mounted",
        later=True,
    ),
    Column("operation", ColumnType.TEXT, True, "what exactly, in words by kind", later=True),
    Column("target_pid", ColumnType.INT, True, "trace: the other process", later=True),
    Column("target_comm", ColumnType.TEXT, True, "trace: its comm", later=True),
)

_LIST_16 = 0xDC  # what a list of more than 15 values begins with in msgpack; below: the short head

NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)
LATER: frozenset[str] = frozenset(column.name for column in COLUMNS if column.later)


def check_columns(batch: EventBatch) -> None:
    """Raise MessageError unless every known column is there and all have `batch.count` values.

    A later column may be missing as a whole. A column that this side does not know is left alone,
    so a newer host may send more.
    """
    if batch.sequence < 1 or batch.first < 1 or batch.count < 0:
        raise MessageError(f"events: sequence, first and count of batch {batch.sequence} are off")
    if not PACKED <= batch.chain_version <= ROWS:
        raise MessageError(
            f"events: chain {batch.chain_version} is not known here; upgrade the collector"
        )
    for column in COLUMNS:
        values = batch.columns.get(column.name)
        if values is None and column.later:
            continue
        if values is None:
            raise MessageError(f"events: column {column.name} is missing; upgrade the agent")
        if len(values) != batch.count:
            raise MessageError(
                f"events: column {column.name} has {len(values)} values, not {batch.count}"
            )


def pack_values(values: Sequence[object]) -> bytes:
    """Return values as a message has them behind the head of their list.

    Those of two lists, one behind the other, are those of the joined list: to join columns needs
    no unpacking.
    """
    packed: bytes = msgpack.packb(values, use_bin_type=True)
    first = packed[0]
    return packed[1 if first < _LIST_16 else 3 if first == _LIST_16 else 5 :]


def unpack_values(packed: bytes, count: int) -> list[object]:
    """Return the values that `pack_values` has packed, `count` of them."""
    packer = msgpack.Packer(autoreset=False)
    packer.pack_array_header(count)
    values: list[object] = msgpack.unpackb(packer.bytes() + packed, raw=False)
    return values


def encode_packed(batch: EventBatch, values: Mapping[str, bytes]) -> bytes:
    """Return the message of `batch` with the columns `values` (see pack_values), not its own.

    The same bytes as `codec.encode` makes of unpacked columns; raise MessageError as that does.
    """
    packer = msgpack.Packer(use_bin_type=True, autoreset=False)
    packer.pack_map_header(3)
    for name, value in (("v", codec.VERSION), ("t", batch.type)):
        packer.pack(name)
        packer.pack(value)
    packer.pack("b")
    packer.pack_map_header(len(batch.__dataclass_fields__) - 1)
    for name in batch.__dataclass_fields__:
        if name not in ("type", "columns"):
            packer.pack(name)
            packer.pack(getattr(batch, name))
    packer.pack("columns")
    packer.pack_map_header(len(values))
    parts: list[bytes] = []
    for name, packed in values.items():
        packer.pack(name)
        packer.pack_array_header(batch.count)
        parts += [packer.bytes(), packed]
        packer.reset()
    return codec.checked(batch, b"".join(parts) or packer.bytes())

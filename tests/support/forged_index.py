"""A forger of what a Parquet file says of its rows: its footer is taken apart and written anew.

The rows stay as they are. Thrift's compact protocol is all that there is to know; a struct is a
dict of (type, value) by the number of the field.
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

_MAGIC = b"PAR1"
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
Struct = dict[int, tuple[int, Any]]

# Fields of Parquet's structs, by its own names.
NUM_ROWS_OF_FILE, ROW_GROUPS = 3, 4
COLUMNS, NUM_ROWS = 1, 3
META_DATA, OFFSET_INDEX, OFFSET_INDEX_LENGTH = 3, 4, 5
PATH, NUM_VALUES, STATISTICS, BLOOM_OFFSET, BLOOM_LENGTH = 3, 5, 12, 14, 15
OLD_MAX, OLD_MIN, NULL_COUNT, MAX_VALUE, MIN_VALUE = 1, 2, 3, 5, 6


def integer(value: int) -> tuple[int, int]:
    """Return a field with a number."""
    return _I64, value


def number(value: int) -> tuple[int, bytes]:
    """Return a field with a number as statistics have it."""
    return BINARY, struct.pack("<q", value)


def text(value: str) -> tuple[int, bytes]:
    """Return a field with a text."""
    return BINARY, value.encode()


def forge_footer(file: Path, change: Callable[[Struct], None]) -> None:
    """Change what the footer says; the file stays one that every reader takes."""
    data = file.read_bytes()
    (length,) = struct.unpack("<I", data[-8:-4])
    assert data[-4:] == _MAGIC
    footer, _ = _read_struct(data, len(data) - 8 - length)
    change(footer)
    new = _struct(footer)
    file.write_bytes(data[: -8 - length] + new + struct.pack("<I", len(new)) + _MAGIC)


def forge_chunk(
    file: Path, column: str, change: Callable[[Struct], None], *, group: int | None = None
) -> None:
    """Change the metadata of a column, in one row group or in all."""
    changed = 0

    def of_footer(footer: Struct) -> None:
        nonlocal changed
        for place, one in enumerate(footer[ROW_GROUPS][1]):
            for chunk in one[COLUMNS][1]:
                about = chunk[META_DATA][1]
                if about[PATH][1][0] == column.encode() and group in (None, place):
                    change(about)
                    changed += 1

    forge_footer(file, of_footer)
    assert changed, f"{file} has no column {column}"


def forge_statistics(
    file: Path, column: str, *, group: int | None = None, **fields: tuple[int, Any] | None
) -> None:
    """Have the statistics of a column say other things: `min_value` and so on; None: nothing."""
    numbers = {
        "old_max": OLD_MAX,
        "old_min": OLD_MIN,
        "null_count": NULL_COUNT,
        "max_value": MAX_VALUE,
        "min_value": MIN_VALUE,
    }

    def of_chunk(about: Struct) -> None:
        found = about.setdefault(STATISTICS, (_STRUCT, {}))[1]
        for name, value in fields.items():
            if value is None:
                found.pop(numbers[name], None)
            else:
                found[numbers[name]] = value

    forge_chunk(file, column, of_chunk, group=group)


def forge_range(file: Path, column: str, low: str | int, high: str | int) -> None:
    """Have a column say that all of its values are in a range, in every way there is to say it."""
    ends = [text(one) if isinstance(one, str) else number(one) for one in (low, high)]
    forge_statistics(file, column, min_value=ends[0], max_value=ends[1])
    if isinstance(low, int):
        forge_statistics(file, column, old_min=ends[0], old_max=ends[1])


def forge_bloom_filter(file: Path, column: str) -> None:
    """Empty the Bloom filters of a column: they say no to every value."""
    places: list[tuple[int, int]] = []
    forge_chunk(
        file, column, lambda about: places.append((about[BLOOM_OFFSET][1], about[BLOOM_LENGTH][1]))
    )
    data = bytearray(file.read_bytes())
    for offset, length in places:
        size, start = _number(data, offset + 1)
        bits = _zigzag(size)
        assert data[offset] == 0x15 and offset + length > start
        end = offset + length
        data[end - bits : end] = bytes(bits)
    file.write_bytes(data)


def _number(data: bytes | bytearray, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _zigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


def _read(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (_TRUE, _FALSE):  # in a list; in a struct the type says it
        return data[at], at + 1
    if kind == _BYTE:
        return data[at], at + 1
    if kind in (_I16, _I32, _I64):
        value, at = _number(data, at)
        return _zigzag(value), at
    if kind == BINARY:
        length, at = _number(data, at)
        return data[at : at + length], at + length
    if kind == _LIST:
        head, at = data[at], at + 1
        count, inner = head >> 4, head & 15
        if count == 15:
            count, at = _number(data, at)
        found = _Items(inner)
        for _ in range(count):
            value, at = _read(data, at, inner)
            found.append(value)
        return found, at
    assert kind == _STRUCT, f"Parquet's footers have no thrift type {kind}"
    return _read_struct(data, at)


class _Items(list[Any]):
    """A list of one thrift type."""

    def __init__(self, kind: int) -> None:
        super().__init__()
        self.kind = kind


def _read_struct(data: bytes, at: int) -> tuple[Struct, int]:
    found: Struct = {}
    field = 0
    while (head := data[at]) != 0:
        at += 1
        kind = head & 15
        if head >> 4:
            field += head >> 4
        else:
            value, at = _number(data, at)
            field = _zigzag(value)
        if kind in (_TRUE, _FALSE):
            found[field] = kind, None
        else:
            value, at = _read(data, at, kind)
            found[field] = kind, value
    return found, at + 1


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _signed(value: int) -> bytes:
    return _varint((value << 1) ^ (value >> 63))


def _written(kind: int, value: Any) -> bytes:
    if kind in (_TRUE, _FALSE, _BYTE):
        return bytes([value])
    if kind in (_I16, _I32, _I64):
        return _signed(value)
    if kind == BINARY:
        return _varint(len(value)) + bytes(value)
    if kind == _LIST:
        count, inner = len(value), value.kind
        head = bytes([count << 4 | inner]) if count < 15 else bytes([0xF0 | inner]) + _varint(count)
        return head + b"".join(_written(inner, one) for one in value)
    return _struct(value)


def _struct(fields: Struct) -> bytes:
    parts = []
    before = 0
    for field, (kind, value) in sorted(fields.items()):
        step = field - before
        short = 0 < step < 16
        parts.append(bytes([step << 4 | kind]) if short else bytes([kind]) + _signed(field))
        if kind not in (_TRUE, _FALSE):
            parts.append(_written(kind, value))
        before = field
    return b"".join(parts) + b"\0"

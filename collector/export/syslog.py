"""Messages of syslog as RFC 5424 has them, framed by octet counting (RFC 6587).

Ours and no library's: those on offer are handlers of `logging`, which number nothing, and drop or
block where a receiver is away. The format itself is one line.
"""

import json
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from collector.export.settings import Facility, Shape
from collector.export.values import Facts, rfc3339

_FACILITIES = {
    Facility.DAEMON: 3,
    Facility.AUTH: 4,
    Facility.AUTHPRIV: 10,
    Facility.AUDIT: 13,
    **{one: 16 + place for place, one in enumerate(list(Facility)[4:])},
}
_WARNING, _NOTICE, _INFORMATIONAL = 4, 5, 6
_KIND = re.compile(r"[a-z_]{1,14}")
# `sequenceId` begins again at 1 behind this.
_LARGEST_NUMBER = 2**31 - 1
_SHORTEST = 32


@dataclass(frozen=True, slots=True)
class Record:
    """One record on its way: `make` gives it as JSON has it, from a row."""

    number: int
    table: str
    time_ns: int
    row: Mapping[str, Any]
    make: Callable[[Mapping[str, Any]], Facts]


def host_name() -> str:
    """Return what this machine calls itself, as a header may have it."""
    return re.sub(r"[^!-~]", "", socket.gethostname())[:255] or "-"


def message(record: Record, *, facility: Facility, host: str, longest: int, shape: Shape) -> bytes:
    """Return one message of at most `longest` bytes; what was cut of it is said in it."""
    kind = str(record.row.get("kind", ""))
    name = f"{record.table}.{kind}" if _KIND.fullmatch(kind) else record.table
    sequence = (record.number - 1) % _LARGEST_NUMBER + 1
    head = (
        f"<{_FACILITIES[facility] * 8 + _level(record)}>1 {rfc3339(record.time_ns, digits=6)} "
        f'{host} holdfast - {name[:32]} [meta sequenceId="{sequence}"] '
    ).encode("ascii")
    return head + fitted(record, longest - len(head), shape)


def framed(text: bytes) -> bytes:
    """Return a message with its length in front."""
    return b"%d %b" % (len(text), text)


def fitted(record: Record, longest: int, shape: Shape) -> bytes:
    """Return a record in plain ASCII, its longest texts cut by halves until it is short enough."""
    body = _encoded(record.make(record.row))
    whole = len(body)
    row = dict(record.row)
    cut: list[str] = []
    while len(body) > longest:
        name = max(row, key=lambda one: _size(row[one]))
        if _size(row[name]) <= _SHORTEST or name == "id":
            return _encoded({"id": record.row["id"], "table": record.table, "cut": ["all"]})
        row[name] = _half(row[name])
        cut = sorted({*cut, name})
        body = _encoded(_marked(record.make(row), cut, whole, shape))
    return body


def _marked(facts: Facts, cut: list[str], whole: int, shape: Shape) -> Facts:
    """Say which columns were cut, where the format has a place for it."""
    if shape is Shape.OCSF:
        facts["metadata"] |= {"is_truncated": True, "untruncated_size": whole}
        facts["unmapped"] = facts.get("unmapped", {}) | {"cut": cut}
    elif shape is Shape.ECS:
        facts["holdfast"] |= {"cut": cut}
    else:
        facts["cut"] = cut
    return facts


def _encoded(facts: Facts) -> bytes:
    # ASCII: text in UTF-8 must begin with a byte order mark here, at which readers of JSON stumble.
    return json.dumps(facts, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _size(value: object) -> int:
    if isinstance(value, list):
        return sum(len(one) + 4 for one in value)
    return len(value) if isinstance(value, str | bytes) else 0


def _half(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1:
        return [_half(value[0])]
    return value[: len(value) // 2]


def _level(record: Record) -> int:
    action = record.row.get("action")
    if record.table in ("holds", "chain_breaks", "rejected") or action == "deny":
        return _WARNING
    return _NOTICE if record.table != "events" or action == "ask" else _INFORMATIONAL

"""Rows of the trail as an export reads them: any value in each column, and plain ones."""

from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from collector.export.sources import Source
from collector.trail import schema
from wire.event_kinds import EventKind

# All that DuckDB can keep: no half of a surrogate pair.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_HOSTILE = st.sampled_from(
    [
        "",
        "\0",
        "a\nb\r\n",
        '","',
        "=cmd|'/c calc'!A0",
        "\u2028\u202e",
        "/",
        "//",
        "\U0001f600",
        "'",
        " =1",
    ]
)
_ANY: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, -13, 3, 65535, 65536]),
    pa.string(): TEXTS | _HOSTILE,
    pa.bool_(): st.booleans(),
    pa.binary(): st.binary(max_size=20),
    pa.list_(pa.string()): st.lists(TEXTS | _HOSTILE, max_size=4),
}
_KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "kind": st.sampled_from([*(kind.value for kind in EventKind), "of a later version"]),
    "action": st.sampled_from(["observe", "ask", "deny", "allow", None]),
    "guarantee": st.sampled_from(["held", "stopped", "late", None]),
    "transport": st.sampled_from(["tcp", "udp", "unix", "raw", "other", None]),
    "address": st.ip_addresses().map(str) | TEXTS | st.none(),
    "operation": st.sampled_from(
        [
            *("setuid 0", "setgid 5", "prog_load", "link_create", "unshare user,mount", "umount"),
            *("file", "directory", "read memory", "write memory", "attach", "0644", "", None),
        ]
    ),
}


def columns(table: str) -> pa.Schema:
    """Return the columns of a table."""
    if table == "events":
        return schema.EVENTS.schema
    found: pa.Schema = next(one.schema for one in schema.TABLES if one.name == table)
    return found


def rows(source: Source) -> st.SearchStrategy[dict[str, Any]]:
    """Return what makes any row of a table, with its id."""

    def value(field: pa.Field) -> st.SearchStrategy[Any]:
        known = _KNOWN.get(field.name) if source.name == "events" else None
        if known is not None:
            return known
        return _ANY[field.type] | st.none() if field.nullable else _ANY[field.type]

    return st.fixed_dictionaries(
        {"id": TEXTS.filter(bool), **{field.name: value(field) for field in columns(source.name)}}
    )


def event(kind: str, **values: Any) -> dict[str, Any]:
    """Return an event of a kind as a host would send it, with its id."""
    row: dict[str, Any] = dict.fromkeys(columns("events").names)
    return row | {
        "id": f"events/{'a' * 32}/7",
        "host": "a" * 32,
        "number": 7,
        "batch": 2,
        "time_ns": 1_780_000_000_123_456_789,
        "kind": kind,
        "subject": "ai-worker",
        "session": "100-5000",
        "pid": 4242,
        "tid": 4243,
        "uid": 1001,
        "gid": 1001,
        "program": "curl",
        "result": 0,
        "guarantee": "held",
        "action": "ask",
        "rule": "net.upload",
        "count": 1,
        **values,
    }

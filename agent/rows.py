"""Rows of the event table: acts, notices and gaps, in the columns that host and centre share."""

from collections.abc import Mapping, Sequence
from typing import cast

from wire.acts import Act, Kind
from wire.events import NAMES
from wire.ids import HoldId
from wire.redaction.marks import START

Row = Mapping[str, object]
Columns = dict[str, list[object]]


def act_row(
    act: Act,
    *,
    action: str | None,
    rule: str | None,
    hold: HoldId | None = None,
    detail: str = "",
    count: int = 1,
) -> Row:
    """Return the row of an act and of what a rule said to it, or of `count` acts like it.

    A text that is empty is absent.
    """
    marks = [*act.flags]
    marks += [
        name
        for name, is_so in (
            ("argv_cut", act.argv_cut),
            ("path_cut", act.path_cut),
            ("second_path_cut", act.second_path_cut),
            ("unresolved", bool(act.path) and not act.path_resolved),
            ("addresses_cut", act.addresses_cut),
            ("redacted", _has_marks(act)),
        )
        if is_so
    ]
    is_exec = act.kind is Kind.EXEC
    return {
        "time_ns": act.time_ns,
        "kind": act.kind.value,
        "subject": act.subject,
        "session": act.session,
        "pid": act.process.pid,
        "tid": act.tid,
        "uid": act.process.uid,
        "gid": act.gid,
        "login_uid": act.login_uid,
        "program": act.executable if is_exec else act.process.comm,
        "argv": list(act.argv) if is_exec else None,
        "path": (act.filename if is_exec else act.path) or None,
        "device": act.device or None,
        "inode": _signed(act.inode) or None,
        "flags": ",".join(marks) or None,
        "transport": act.transport.value if act.transport else None,
        "address": act.address or None,
        "port": act.port if act.address else None,
        "result": act.result,
        "guarantee": act.guarantee.value,
        "action": action,
        "rule": rule,
        "hold": hold,
        "count": count,
        "detail": detail or None,
        "second_path": act.second_path or None,
        "operation": act.operation or None,
        "target_pid": act.target.pid if act.target else None,
        "target_comm": act.target.comm if act.target else None,
    }


def _has_marks(act: Act) -> bool:
    """Return whether secrets were taken out of what the row tells of an act."""
    texts = (act.executable, act.filename, act.path, act.second_path, act.process.comm, *act.argv)
    return any(START in text for text in texts)


def _signed(number: int) -> int:
    """Return 64 bits as the trail's columns hold them: any file system may use all of them."""
    return number - (1 << 64) if number >= 1 << 63 else number


def notice_row(time_ns: int, name: str, words: str) -> Row:
    """Return the row of something that the host itself has to say."""
    return {"time_ns": time_ns, "kind": "notice", "count": 1, "detail": f"{name}: {words}"}


def gap_row(time_ns: int, lost: int, words: str) -> Row:
    """Return the row that stands where `lost` events should have been."""
    return {"time_ns": time_ns, "kind": "gap", "count": lost, "detail": f"gap: {words}"}


def to_columns(rows: Sequence[Row]) -> Columns:
    """Return rows as columns; what a row does not name is absent."""
    return {name: [row.get(name) for row in rows] for name in NAMES}


def joined(tables: Sequence[Columns]) -> Columns:
    """Return the tables one below the other."""
    return {name: [value for table in tables for value in table[name]] for name in NAMES}


def part(columns: Columns, start: int, stop: int) -> Columns:
    """Return the rows from `start` up to `stop`."""
    return {name: values[start:stop] for name, values in columns.items()}


def events_in(columns: Columns) -> int:
    """Return how many events the rows stand for: a gap stands for all that it lost."""
    return sum(cast("list[int]", columns["count"]))  # never absent

"""Rows of events are what the wire says they are."""

from dataclasses import replace

from agent import rows
from tests.support.children import Child, open_act
from wire.acts import Act, Kind, Process, Transport
from wire.events import COLUMNS, NAMES, ColumnType, check_columns
from wire.ids import HoldId, HostId
from wire.messages import EventBatch


def checked(*made: rows.Row) -> dict[str, list[object]]:
    """Return rows as columns, after the check that the centre makes, and one of types."""
    columns = rows.to_columns(made)
    batch = EventBatch(
        host=HostId("a" * 32),
        sequence=1,
        first=1,
        count=len(made),
        previous="0" * 64,
        columns=columns,
    )
    check_columns(batch)
    types = {ColumnType.INT: int, ColumnType.TEXT: str, ColumnType.TEXTS: list}
    for column in COLUMNS:
        for value in columns[column.name]:
            assert (
                value is None
                if value is None and column.null
                else type(value) in (types[column.type],)
            ), (column.name, value)
    return columns


def test_every_sort_of_row_is_whole(one: Child) -> None:
    """Acts of each kind, a notice and a gap, in one table."""
    opened = open_act(one)
    executed = replace(
        opened, kind=Kind.EXEC, path="", filename="./a.sh", argv=("a.sh", "-x"), argv_cut=True
    )
    connected = replace(
        opened, kind=Kind.CONNECT, path="", transport=Transport.TCP, address="192.0.2.1", port=80
    )
    hold = HoldId("b" * 32)
    columns = checked(
        *(
            rows.act_row(act, action="ask", rule="test.rule", hold=hold)
            for act in (opened, executed, connected)
        ),
        rows.notice_row(1, "name", "words"),
        rows.gap_row(1, 42, "words"),
    )
    assert columns["second_path"] == [None] * 5 == columns["target_pid"]
    assert columns["kind"] == ["open", "exec", "connect", "notice", "gap"]
    assert columns["count"] == [1, 1, 1, 1, 42]
    assert columns["path"] == ["/etc/shadow", "./a.sh", None, None, None]
    assert columns["argv"] == [None, ["a.sh", "-x"], None, None, None]
    assert columns["program"][:2] == ["sleep", "/usr/bin/sleep"]
    assert columns["flags"] == ["read", "read,argv_cut", "read", None, None]
    assert columns["port"] == [None, None, 80, None, None]
    assert columns["hold"] == [hold, hold, hold, None, None]
    assert columns["detail"][3:] == ["name: words", "gap: words"]
    assert rows.events_in(columns) == 46


def test_tables_are_joined_and_cut(one: Child) -> None:
    """Every column, in the order of the wire."""
    act: Act = open_act(one)
    row = rows.act_row(act, action=None, rule=None)
    two = rows.joined([rows.to_columns([row]), rows.to_columns([row, row])])
    assert tuple(two) == NAMES
    assert rows.part(two, 1, 3) == rows.to_columns([row, row])


def test_a_change_and_a_trace_have_their_own_columns(one: Child) -> None:
    """Both names, what exactly, and the other process; a cut second name is a mark."""
    act = replace(open_act(one), flags=())
    renamed = replace(act, kind=Kind.RENAME, second_path="/etc/b", second_path_cut=True)
    traced = replace(
        act,
        kind=Kind.TRACE,
        path="",
        operation="attach",
        target=Process(pid=9, start_ns=1, comm="sshd", uid=0),
    )
    columns = checked(*(rows.act_row(a, action="ask", rule="r") for a in (renamed, traced)))
    assert columns["second_path"] == ["/etc/b", None]
    assert columns["operation"] == [None, "attach"]
    assert columns["target_pid"] == [None, 9] and columns["target_comm"] == [None, "sshd"]
    assert columns["flags"] == ["second_path_cut", None]

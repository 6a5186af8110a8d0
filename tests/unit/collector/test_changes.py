"""Changes of files, processes and the host, as people and the trail are told of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from collector.approvals.folds import fold_key
from collector.card import render, summary
from collector.config import Trail
from collector.trail.event_rows import event_rows
from collector.trail.rows import opened_row
from collector.trail.schema import EVENTS, HOLD_STATES, HOLDS, HOSTS
from collector.trail.store import open_trail
from collector.web.happenings import happening
from rules.examples import parse
from tests.support.old_trail import take_back
from tests.support.wire_host import batch, full_row
from tests.unit.collector.samples import make_act, make_opened
from wire.acts import KINDS_OF_PROCESSES, Act, Guarantee, Kind
from wire.codec import encode
from wire.event_kinds import EventKind
from wire.events import LATER, NAMES
from wire.grantable import why_never
from wire.ids import HoldId, HostId, new_id
from wire.messages import OnDeny, OnTimeout, RuleFacts, Severity
from wire.targets import target

LINES = {
    "create: /etc/cron.d/job": "create /etc/cron.d/job",
    "create: /srv/p fifo": "create /srv/p (fifo)",
    "truncate: /var/log/syslog to 0 bytes": "cut /var/log/syslog to 0 bytes",
    "delete: /etc/passwd": "delete /etc/passwd",
    "delete: /srv/d directory": "delete /srv/d (directory)",
    "rename: /tmp/job -> /etc/cron.d/job": "rename /tmp/job -> /etc/cron.d/job",
    "link: /etc/shadow -> /tmp/s": "link /etc/shadow -> /tmp/s",
    "symlink: /tmp/s -> ../etc/shadow": "make the link /tmp/s -> ../etc/shadow",
    "chmod: /srv/shell 4755": "change the mode of /srv/shell to 4755",
    "chown: /srv/shell 0:-": "change the owner of /srv/shell to 0:-",
    "mount: /etc -> /mnt bind": "mount /etc -> /mnt (bind)",
    "mount: /mnt umount": "mount /mnt (umount)",
    "listen: 0.0.0.0:8080": "listen on tcp 0.0.0.0:8080",
    "trace: attach 1234 sshd": "reach into sshd (pid 1234): attach",
    "identity: setuid 0": "change identity: setuid 0",
    "module: load /tmp/x.ko": "change the kernel: load /tmp/x.ko",
    "module: load": "change the kernel: load",
    "bpf: prog_load": "call bpf: prog_load",
    "namespace: unshare user,mount": "change namespaces: unshare user,mount",
}
OLD = ("exec: /bin/ls -l", "open: /etc/shadow read", "connect: 192.0.2.1:443", "send: 192.0.2.1:53")
HOST = HostId("b" * 32)


def act_of(line: str, **changes: Any) -> Act:
    """Return the act of a line, held before it happens."""
    said = parse(line)
    names = ("operation", "path", "second_path", "transport", "address", "port", "target", "flags")
    fields = {name: getattr(said, name) for name in names}
    if said.kind is Kind.EXEC:
        fields["argv"] = said.argv
    fields["guarantee"] = Guarantee.HELD
    return make_act(kind=said.kind, **(fields | changes))


def facts(act: Act, **given: Any) -> dict[str, str]:
    """Return the facts of its card, by label."""
    return {fact.label: fact.text for fact in render(make_opened(act, **given)).facts}


@pytest.mark.parametrize(("line", "words"), LINES.items())
def test_the_title_says_what_is_done_to_what(line: str, words: str) -> None:
    """Each kind with a verb of its own; both names, what exactly, the other process."""
    assert render(make_opened(act_of(line))).title == f"ai: {words}"
    assert {parse(one).kind for one in (*LINES, *OLD)} == set(KINDS_OF_PROCESSES)


def test_the_facts_name_the_second_path_the_operation_and_the_other_process() -> None:
    """Under labels that say what they are."""
    renamed = facts(act_of("rename: /srv/job -> /etc/cron.d/job", inode=7))
    assert renamed["Path"] == "/srv/job (device 0:0, inode 7)"
    assert renamed["New name"] == "/etc/cron.d/job"
    assert facts(act_of("symlink: /tmp/s -> ../x"))["Points to"] == "../x"
    assert facts(act_of("mount: /etc -> /mnt bind"))["Mounted"] == "/etc"
    assert facts(act_of("chmod: /srv/x 4755"))["New mode"] == "4755 (rwsr-xr-x): runs as its owner"
    assert facts(act_of("chmod: /srv/x 0644"))["New mode"] == "0644 (rw-r--r--)"
    traced = facts(act_of("trace: attach 1234 sshd"))
    assert traced["Operation"] == "attach" and "sshd" in traced["Other process"]
    assert facts(act_of("module: load /srv/x.ko"))["File"] == "/srv/x.ko"


def test_a_second_path_is_hostile_and_may_be_cut() -> None:
    """It is escaped, and what is missing is counted so that nobody approves it unseen."""
    act = act_of("rename: /a -> /b", second_path="/b\n\u202eevil", second_path_cut=True)
    card = render(make_opened(act))
    assert card.hidden_bytes == 1
    text = facts(act)["New name"]
    assert "part of it is missing" in text and "\n" not in text and "\u202e" not in text
    assert "\n" not in card.title and "\n" not in summary(act).where


@pytest.mark.parametrize("line", LINES)
def test_what_is_held_has_not_happened_and_what_is_late_has(line: str) -> None:
    """Without a result it may have; with an error it has not."""
    act = act_of(line)
    late = replace(act, guarantee=Guarantee.LATE)
    words = [
        render(make_opened(one)).happened
        for one in (act, late, replace(late, result=0), replace(late, result=-13))
    ]
    assert len(set(words)) == 4
    assert "may" in words[1] and "may" not in words[0] + words[2]
    assert words[3] == "The call failed with error 13, so it did not take effect."


def test_a_refusal_is_announced_only_where_it_can_be() -> None:
    """After the call it would be a kill, and the card says nothing of a refusal."""
    rule = RuleFacts(id="r", description="d", severity=Severity.HIGH, on_deny=OnDeny.REFUSE)
    held = act_of("delete: /etc/passwd")
    said = facts(held, rule=rule)
    assert "fails" in said["If denied"] and "fails" in said["If nobody answers"]
    keeps = facts(held, rule=replace(rule, on_timeout=OnTimeout.KEEP))
    assert keeps["If nobody answers"] == "the process stays stopped"
    stopped = facts(replace(held, guarantee=Guarantee.STOPPED), rule=rule)
    assert "If denied" not in stopped and "killed" in stopped["If nobody answers"]


@pytest.mark.parametrize("line", LINES)
def test_no_change_is_ever_granted(line: str) -> None:
    """Each is decided by itself."""
    act = act_of(line, inode=7, device=8)
    assert why_never(act)


def test_identical_changes_are_one_request_and_others_are_not() -> None:
    """The other name, the operation and the other process tell them apart."""

    def key(line: str, pid: int = 1, **changes: Any) -> object:
        act = act_of(line, **({"inode": 7, "device": 8} | changes))
        return fold_key(make_opened(replace(act, process=replace(act.process, pid=pid))))

    for line in LINES:
        if not line.startswith("bpf"):
            assert key(line, pid=1) == key(line, pid=2) is not None, line
    assert key("rename: /a -> /b") != key("rename: /a -> /c")
    assert key("chmod: /a 0644") != key("chmod: /a 4755")
    assert key("trace: attach 12 sshd") != key("trace: attach 13 sshd")
    # What may be about different things, or is not known whole, is compared with nothing.
    assert key("bpf: prog_load") is None
    assert key("delete: /a", inode=0) is None
    assert key("rename: /a -> /b", second_path_cut=True) is None
    assert key("delete: /a", guarantee=Guarantee.LATE) is None
    assert key("create: /a", inode=0) is not None


def insert(connection: duckdb.DuckDBPyConnection, act: Act) -> str:
    """Put a hold on the act into the trail; return its id."""
    opened = make_opened(act, hold=HoldId(new_id()))
    row = opened_row(opened, encode(opened), 1)
    names = ", ".join(f'"{name}"' for name in row.values)
    marks = ", ".join("?" for _ in row.values)
    connection.execute(f"INSERT INTO holds ({names}) VALUES ({marks})", [*row.values.values()])  # noqa: S608
    return opened.hold


def test_the_view_of_requests_says_what_an_act_is_aimed_at_as_everything_else_does(
    tmp_path: Path,
) -> None:
    """So that the same words find a request, whether it waits or is long over."""
    connection = open_trail(Trail(file=str(tmp_path / "trail.duckdb")))
    acts = [act_of(line) for line in (*LINES, *OLD)]
    acts += [replace(act_of("trace: attach 1 x"), target=None), act_of("listen: unix:/run/x.sock")]
    for act in acts:
        hold = insert(connection, act)
        (found,) = connection.execute("SELECT what FROM requests WHERE hold = ?", [hold]).fetchall()
        assert found == (target(act),)
    connection.close()


def test_a_trail_of_before_is_brought_to_today(tmp_path: Path) -> None:
    """It has every column of a new file; what is in it keeps its meaning."""
    settings = Trail(file=str(tmp_path / "trail.duckdb"))
    fresh = open_trail(settings)
    columns = {t.name: _columns(fresh, t.name) for t in (HOLDS, HOLD_STATES, HOSTS)}
    insert(fresh, act_of("delete: /etc/passwd"))
    take_back(fresh, 4)
    assert len(_columns(fresh, "holds")) == len(columns["holds"]) - len(HOLDS_ADDED)
    fresh.close()
    today = open_trail(settings)
    for table, expected in columns.items():
        assert sorted(_columns(today, table)) == sorted(expected), table
    assert [name for name, *_ in _columns(today, "events")] == [*EVENTS.schema.names, "when"]
    row = today.execute("SELECT on_deny, on_no_agent, operation, target_pid FROM holds").fetchall()
    assert row == [("kill", "hold", "", None)]
    insert(today, act_of("trace: attach 12 sshd"))
    assert today.execute("SELECT count(*) FROM holds WHERE target_pid = 12").fetchall() == [(1,)]
    today.close()


HOLDS_ADDED = frozenset(
    {"second_path", "operation", "target_pid", "target_comm", "on_deny", "on_no_agent"}
)


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, str, str]]:
    found = connection.execute(f"DESCRIBE {table}").fetchall()
    return [(name, kind, null) for name, kind, null, *_ in found]


def test_events_of_an_agent_of_before_are_taken() -> None:
    """What it does not know is absent."""
    sent = batch(HOST, 1, 1, [full_row(), full_row()])
    older = replace(
        sent, columns={name: v for name, v in sent.columns.items() if name not in LATER}
    )
    rows = event_rows(older, b"").data
    assert rows.num_rows == 2
    assert rows.column("operation").to_pylist() == [None, None]
    assert rows.column("path").to_pylist() == ["text", "text"]


def test_a_line_of_the_events_says_both_names_what_exactly_and_the_other_process() -> None:
    """On the page; without them it says what it always did."""
    empty: dict[str, Any] = dict.fromkeys((*NAMES, "host")) | {"time_ns": 1, "count": 1}
    renamed = empty | {"kind": "rename", "path": "/a", "second_path": "/b"}
    assert happening(renamed, "web-1").what == "/a -> /b"
    traced = empty | {
        "kind": "trace",
        "target_pid": 12,
        "target_comm": "sshd",
        "operation": "attach",
    }
    assert happening(traced, "web-1").what == "sshd (pid 12) (attach)"
    opened = empty | {"kind": "open", "path": "/a", "flags": "read"}
    assert happening(opened, "web-1").what == "/a (read)"
    assert happening(empty | {"kind": "notice", "detail": "x: y"}, "web-1").what == "x: y"


def test_every_kind_of_act_is_a_kind_of_event() -> None:
    """People filter events by it."""
    assert {*map(str, EventKind)} == {*map(str, KINDS_OF_PROCESSES), "gap", "notice"}

"""What goes wrong with audit is said, is counted, and mends where it can be mended."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.errors import SensorError
from agent.sensor.interface import Subject
from tests.audit.site import Site
from tests.bench.auditing import KEY, auditctl, status
from tests.support.auditd import Auditd, rules

pytestmark = pytest.mark.audit

TOOL = """
rules:
  - id: test.tool
    description: Runs sleep.
    severity: high
    match: { exec: { path: "**/sleep" } }
    action: ask
"""
MANY = """
rules:
  - id: test.many
    description: Reads any file of a directory.
    severity: info
    match: { open: { path: "{place}/many/**" } }
    action: observe
"""


def _holds_again(site: Site) -> None:
    one = site.run(["/usr/bin/sleep", "93"])
    assert site.next_hold(lambda act: act.process.pid == one.pid)
    one.wait_stopped()


def _heard(site: Site, name: str) -> Callable[[], bool]:
    def look() -> bool:
        site.sensor.new_holds()
        return any(one == name for one, _ in site.notices)

    return look


def test_a_reader_that_is_killed_is_started_anew(site: Site) -> None:
    """What happened meanwhile is not known, and the record says that."""
    site.start(TOOL)
    os.kill(site.sensor.reader_pid, signal.SIGKILL)
    site.until(_heard(site, "audit_away"), lambda: f"{site.notices}")
    assert site.sensor.losses().absences == 1
    assert "ended by signal 9" in site.notices[-1][1]
    site.until(lambda: _heard(site, "audit_back")() or site.sensor.connected)
    _holds_again(site)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_auditd_that_is_restarted_is_heard_again(site: Site, number: signal.Signals) -> None:
    """Nobody is stopped while it is away; how many events were missed is in the record."""
    site.start(TOOL)
    try:
        site.daemon.end(number)
        site.until(_heard(site, "audit_away"), lambda: f"{site.notices}")
        site.run(["/usr/bin/sleep", "0"]).end()
    finally:
        site.daemon.start()
    site.until(_heard(site, "audit_back"), lambda: f"{site.notices}")
    assert site.sensor.losses().absences == 1
    _holds_again(site)


def test_records_that_the_kernel_loses_are_counted(site: Site) -> None:
    """The kernel's own count, however the daemon came not to take them."""
    (site.place / "many").mkdir()
    (site.place / "many" / "file").touch()
    site.start(MANY)
    auditctl("-b", "64")
    auditctl("--backlog_wait_time", "0")
    lost = status()["lost"]
    try:
        site.daemon.send(signal.SIGSTOP)
        site.run("for i in range(2000): os.close(os.open('many/file', 0))").end()
    finally:
        site.daemon.send(signal.SIGCONT)
        auditctl("-b", "8192")
        auditctl("--backlog_wait_time", "60000")
    assert status()["lost"] > lost
    site.until(lambda: site.sensor.new_holds() is None or site.sensor.losses().records > 0)
    assert site.sensor.losses().records == status()["lost"] - lost


def test_events_that_the_daemon_drops_are_missed(site: Site) -> None:
    """Its queue to the plugin is full, since nobody reads: the numbers of events have a hole."""
    (site.place / "many").mkdir()
    (site.place / "many" / "file").touch()
    usual, count = site.daemon, 400
    usual.end()
    site.daemon = Auditd(site.place / "small", queue=100)
    try:
        site.daemon.start()
        site.sensor = site.new_sensor()
        site.start(MANY)
        reader = site.sensor.reader_pid
        os.kill(reader, signal.SIGSTOP)
        site.run(f"for i in range({count}): os.close(os.open('many/file', 0))").end()
        # Its queue and the socket take a few hundred; then it drops one after another, slowly.
        while status()["backlog"] > 900:
            time.sleep(0.05)
        os.kill(reader, signal.SIGCONT)
        seen = 0

        def look() -> bool:
            nonlocal seen
            site.sensor.new_holds()
            seen += len(site.sensor.drain_execs(100_000))
            auditctl("-m", "holdfast-test")  # the next event shows the hole
            return seen + site.sensor.losses().events >= count

        site.until(look, lambda: f"{seen} seen, {site.sensor.losses()}")
        assert 0 < seen < count
        assert site.sensor.losses().records == 0
        site.stop()
    finally:
        site.daemon.end()
        site.daemon = usual
        usual.start()


def test_a_hole_that_is_closed_late_is_none(site: Site) -> None:
    """Thousands of events of several processes at once: all come, none is missed."""
    (site.place / "many").mkdir()
    (site.place / "many" / "file").touch()
    site.start(MANY)
    code = "for i in range(300): os.close(os.open('many/file', 0))"
    running = [site.run(code) for _ in range(4)]
    seen = 0

    def look() -> bool:
        nonlocal seen
        site.sensor.new_holds()
        seen += len(site.sensor.drain_execs(100_000))
        return seen >= 1200

    site.until(look, lambda: f"{seen} seen, {site.sensor.losses()}")
    for one in running:
        assert one.end() == 0
    end = time.monotonic() + 4  # longer than the reader waits for what is out of order
    site.until(lambda: site.sensor.new_holds() is None or time.monotonic() > end)
    assert (seen, site.sensor.losses().events, site.sensor.losses().unread) == (1200, 0, 0)


def test_rules_of_others_stay_and_ours_are_put_back(site: Site) -> None:
    """Who deletes all rules, as augenrules does, deletes ours too."""
    other = ("always,exit", "-F", "arch=b64", "-S", "mkdir", "-F", "uid=4242", "-k", f"x{KEY}")
    auditctl("-a", *other)
    try:
        site.start(TOOL)
        mine = rules()
        assert mine
        auditctl("-d", *mine[0].split(" ")[1:])
        site.until(_heard(site, "audit_rules_removed"), lambda: f"{site.notices}")
        assert set(rules()) == set(mine)
        site.sensor.set_tables(site.tables(MANY))
        assert not set(rules()) & set(mine)
        site.sensor.set_tables(site.tables(TOOL))
        assert set(rules()) == set(mine)
        site.stop()
        assert not rules()
        assert f"key=x{KEY}" in auditctl("-l")
    finally:
        auditctl("-d", *other)


def test_rules_that_the_kernel_refuses_change_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those before stay in force, and none of the new ones does."""
    site.start(TOOL)
    before = rules()
    bad = "-a always,exit -F arch=b64 -S mkdir -F dir=/holdfast-test/none -F key=" + KEY
    good = "-a always,exit -F arch=b64 -S mkdir -F uid=4242 -F key=" + KEY
    monkeypatch.setattr("agent.sensor.audit.audit_rules", lambda *_, **__: [good, bad])
    with pytest.raises(SensorError, match="No such file or directory"):
        site.sensor.set_tables(site.tables(MANY))
    assert rules() == before
    _holds_again(site)


def test_without_a_daemon_there_is_no_mode_audit(site: Site) -> None:
    """And with one whose plugin is off; both say what to do."""
    site.daemon.end()
    try:
        with pytest.raises(SensorError, match="systemctl start auditd"):
            site.start(TOOL)
        site.stop()
    finally:
        site.daemon.start()
    site.daemon.socket.rename(site.daemon.socket.with_name("elsewhere"))
    try:
        site.sensor = site.new_sensor()
        with pytest.raises(SensorError, match=r"No such file.*af_unix.conf.*active = yes"):
            site.start(TOOL)
        site.stop()
    finally:
        site.daemon.socket.with_name("elsewhere").rename(site.daemon.socket)
    assert not rules()


def test_a_plugin_that_another_reads_is_said_to_be_so(site: Site) -> None:
    """It serves one reader, and lets a second one wait for good."""
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(str(site.daemon.socket))
        auditctl("-m", "holdfast-test")  # it takes a reader when it has something to say
        assert first.recv(10)
        with pytest.raises(SensorError, match="another program may be reading it"):
            site.start(TOOL)
        site.stop()


def test_who_cannot_be_told_by_audit_is_refused(site: Site) -> None:
    """A cgroup; a cgroup beside users is told."""
    with pytest.raises(SensorError, match="audit cannot tell who is in a cgroup"):
        site.start(TOOL, [Subject(index=1, name="ai", cgroups=("/x.slice",))])
    site.stop()
    uid = site.people.watched.pw_uid
    site.start(TOOL, [Subject(index=1, name="ai", uids=(uid,), cgroups=("/x.slice",))])
    assert "audit_cgroups" in dict(site.notices)


def test_an_agent_that_would_report_itself_is_refused(site: Site) -> None:
    """The login id of the watched user is on whatever root starts from such a login."""
    uid = site.people.watched.pw_uid
    code = (
        f"open('/proc/self/loginuid', 'w').write('{uid}')\n"
        "from agent.audit.startable import check_startable\n"
        "from agent.sensor.interface import Subject\n"
        f"check_startable([Subject(index=1, name='ai', uids=({uid},))])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "SensorError: the agent was started from a login of a watched user" in done.stderr


def test_who_cannot_be_held_is_killed_and_counted(site: Site) -> None:
    """Where no entry can be made, nothing would say that a stopped process is held."""
    (site.place / "run").mkdir()
    site.start(TOOL)
    (site.place / "run" / "held").write_text("no directory")
    one = site.run(["/usr/bin/sleep", "92"])
    site.until(lambda: site.sensor.new_holds() is None or site.sensor.losses().holds > 0)
    assert one.end() == -signal.SIGKILL
    (site.place / "run" / "held").unlink()


@contextmanager
def _relayed(source: Path, place: Path, change: Callable[[bytes], bytes]) -> Iterator[Path]:
    """Stand between a daemon's plugin and its reader, and change what is said."""
    path = place / "relayed"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as upstream:
        server.bind(str(path))
        server.listen()
        upstream.connect(str(source))

        def relay() -> None:
            with server.accept()[0] as reader:
                while select.select([upstream], [], [], 30)[0] and (data := upstream.recv(65536)):
                    try:
                        reader.sendall(change(data))
                    except OSError:
                        return

        worker = threading.Thread(target=relay)
        worker.start()
        try:
            yield path
        finally:
            upstream.shutdown(socket.SHUT_RDWR)
            worker.join()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b" argc=2 ", b" argc=x "),
        (b" a0=", b" a0=zz"),
        (b" ppid=", b" qqid="),
        (b"type=EXECVE", b"tybe=EXECVE"),
        (b"type=CWD", b"\n\n\xff\xfe no record at all\ntype=CWD"),
    ],
)
def test_what_cannot_be_read_is_counted_and_the_next_can(
    site: Site, old: bytes, new: bytes
) -> None:
    """Numbers that are none, fields that are missing, lines that are no record."""
    on = True

    def change(data: bytes) -> bytes:
        return data.replace(old, new) if on and b"holdfast-reader" not in data else data

    with _relayed(site.daemon.socket, site.place, change) as path:
        site.sensor = site.new_sensor(path)
        site.start(TOOL)
        one = site.run(["/usr/bin/sleep", "91"])
        site.until(lambda: site.sensor.new_holds() is None or site.sensor.losses().unread > 0)
        one.kill()
        on = False
        _holds_again(site)
        site.stop()

"""What a watched user does is reported by a real auditd, and who did it is stopped."""

import os
import signal
import socket
from pathlib import Path

import pytest

from agent import procfs
from agent.release import ProcessId
from agent.sensor.interface import Subject
from tests.audit.site import Site
from tests.support.started import wait_gone
from wire.acts import Act, Guarantee, Kind, Transport

pytestmark = pytest.mark.audit

RULES = """
rules:
  - id: test.secret
    description: Reads a secret.
    severity: high
    match: { open: { path: "{place}/secret/**", mode: read } }
    action: ask
  - id: test.tool
    description: Runs sleep, or a script of that name.
    severity: high
    match: { exec: { path: ["**/sleep", "**/sleep.sh"] } }
    action: ask
"""
READ = """
with open({path!r}) as file:
    say("read")
    sys.stdin.readline()
say("on")
"""


@pytest.fixture
def key(site: Site) -> Path:
    """A file that the rules are about."""
    path = site.place / "secret" / "key"
    path.parent.mkdir()
    path.write_text("s")
    path.chmod(0o666)
    path.parent.chmod(0o777)
    return path


def _is_open(act: Act) -> bool:
    return act.kind is Kind.OPEN


def test_who_reads_a_secret_is_stopped_and_runs_on_when_let_go(site: Site, key: Path) -> None:
    """By path, flags, inode and result; late, since it has been opened."""
    site.start(RULES)
    reader = site.run(READ.format(path="secret/../secret/key"))
    held = site.next_hold(_is_open)
    act = held.act
    assert act.process.pid == reader.pid
    assert act.guarantee is Guarantee.LATE
    assert (act.path, act.path_resolved, act.path_cut) == (str(key), True, False)
    assert (act.device, act.inode) == (key.stat().st_dev, key.stat().st_ino)
    assert act.flags == ("read",)
    assert (act.result or 0) > 2
    assert act.process.argv[0] == "/usr/bin/python3"
    assert act.user == site.people.watched.pw_name
    assert act.session == str(ProcessId.of(act.process))
    reader.wait_stopped()
    reader.tell()
    site.let_go(held)
    assert reader.rest().split() == ["read", "on"]


@pytest.mark.parametrize("way", ["symlink", "hard link", "directory", "openat2"])
def test_a_file_is_known_by_whatever_name_it_is_opened(site: Site, key: Path, way: str) -> None:
    """A link, a name beside a descriptor of its directory, and the newest call for it."""
    name = site.place / "other"
    code = {
        "symlink": f"open({str(name)!r}).close()",
        "hard link": f"open({str(name)!r}).close()",
        "directory": f"os.open('key', 0, dir_fd=os.open({str(key.parent)!r}, 0))",
        "openat2": f"call(437, -100, {os.fsencode(key)!r}, struct.pack('QQQ', 0, 0, 0), 24)",
    }[way]
    if way == "symlink":
        name.symlink_to(key)
    elif way == "hard link":
        name.hardlink_to(key)
    site.start(RULES if way != "hard link" else RULES.replace("secret/**", "secret/key"))
    one = site.run(code + "\nsys.stdin.readline()")
    act = site.next_hold(_is_open).act
    assert act.process.pid == one.pid
    assert act.inode == key.stat().st_ino
    if way != "hard link":
        assert act.path == str(key)
    one.wait_stopped()


def test_a_file_that_is_made_is_reported_as_created(site: Site, key: Path) -> None:
    """With the directory and the name that it got."""
    site.start(RULES.replace("mode: read", "mode: write"))
    site.run("os.open('secret/new', os.O_CREAT | os.O_WRONLY | os.O_TRUNC)\nsys.stdin.readline()")
    act = site.next_hold(_is_open).act
    assert act.path == str(key.parent / "new")
    assert set(act.flags) == {"write", "create", "truncate", "created"}


def test_an_open_that_failed_and_one_of_another_sort_stop_nobody(site: Site, key: Path) -> None:
    """What was not to be read is recorded as having failed; what no rule is about, not at all."""
    site.start(RULES)
    key.chmod(0o600)
    one = site.run(
        "for flags in (0, os.O_WRONLY):\n"
        " for name in ('secret/key', 'secret/none', 'nothing'):\n"
        "  try: os.open(name, flags)\n"
        "  except OSError as error: say(error.errno)\n"
    )
    assert one.rest().split() == ["13", "2", "2"] * 2
    act = site.observed(lambda act: act.path == str(key))
    assert (act.result, act.flags) == (-13, ("read",))


def test_a_command_is_stopped_with_its_arguments(site: Site) -> None:
    """As the kernel has them: empty ones, those with spaces and line feeds, and bad UTF-8."""
    site.start(RULES)
    script = _script(site)
    words = [os.fsencode(script), b"", b"a b", b"c\nd", b"\xff\x1d", b'"e"', b"x" * 300]
    one = site.run(words)
    held = site.next_hold()
    act = held.act
    assert act.kind is Kind.EXEC
    shown = (str(script), "", "a b", "c\nd", "\\xff\x1d", '"e"', "x" * 300)
    assert act.argv == ("/bin/sh", *shown)
    assert act.argv_bytes == len("/bin/sh") + 1 + sum(len(word) + 1 for word in words)
    assert not act.argv_cut
    assert (act.filename, act.cwd) == (str(script), str(site.place))
    assert act.environment == {"PATH": "/usr/bin:/bin", "LD_PRELOAD": ""}
    one.wait_stopped()


def _script(site: Site) -> Path:
    script = site.place / "sleep.sh"
    script.write_text("#!/bin/sh\nread line\n")
    script.chmod(0o755)
    return script


def test_long_arguments_are_cut_and_marked(site: Site) -> None:
    """With their exact length, whatever pieces the records come in."""
    site.start(RULES)
    words = [str(_script(site)), "\u00e9" * 9000, *("y" * 100 for _ in range(200))]
    site.run(words)
    act = site.next_hold().act
    assert act.argv_cut
    assert act.argv_bytes == len("/bin/sh") + 1 + sum(len(word.encode()) + 1 for word in words)
    assert act.argv[:2] == ("/bin/sh", words[0])
    assert act.argv[2].startswith("\u00e9" * 1000)


def test_a_script_is_known_by_its_own_name(site: Site) -> None:
    """Called by a relative name; the program is its interpreter."""
    _script(site)
    site.start(RULES)
    site.run(["./sleep.sh"], cwd=site.place)
    act = site.next_hold(lambda act: act.filename == "./sleep.sh").act
    assert act.executable == str(Path("/bin/sh").resolve())
    assert act.argv == ("/bin/sh", "./sleep.sh")


def test_nobody_else_is_touched(site: Site, key: Path) -> None:
    """Another user may do all of it."""
    site.start(RULES)
    other = site.people.other
    uid, gid = other.pw_uid, other.pw_gid
    code = READ.format(path=str(key)) + "os.execv('/usr/bin/sleep', ['sleep', '0'])"
    one = site.run(code, user=uid, group=gid)
    one.tell()
    assert one.rest().split() == ["read", "on"]
    # What comes of the watched user afterwards is all that came.
    site.run(["/usr/bin/sleep", "98"])
    assert site.next_hold().act.argv == ("/usr/bin/sleep", "98")


def test_who_has_logged_in_as_the_watched_user_is_seen_as_any_user(site: Site) -> None:
    """The login id is inherited, whoever a process becomes: this is what follows sudo."""
    site.start(RULES)
    watched, other = site.people.watched, site.people.other
    code = (
        f"open('/proc/self/loginuid', 'w').write('{watched.pw_uid}')\n"
        f"os.setgid({other.pw_gid}); os.setuid({other.pw_uid})\n"
        "os.execv('/usr/bin/sleep', ['sleep', '97'])"
    )
    one = site.run(code, user=0, group=0)
    act = site.next_hold().act
    assert (act.process.pid, act.process.uid) == (one.pid, other.pw_uid)
    assert act.login_uid == watched.pw_uid
    assert act.login_user == watched.pw_name
    one.wait_stopped()


@pytest.mark.parametrize("how", ["primary", "supplementary"])
def test_a_group_is_watched(site: Site, how: str) -> None:
    """The kernel compares a rule about a group with all that a process is in."""
    group = site.people.group.gr_gid
    site.start(RULES, [Subject(index=1, name="crowd", gids=(group,))])
    other = site.people.other
    site.run(["/usr/bin/sleep", "0.2"], user=other.pw_uid, group=other.pw_gid)
    primary, more = (group, []) if how == "primary" else (other.pw_gid, [group])
    one = site.run(["/usr/bin/sleep", "96"], user=other.pw_uid, group=primary, groups=more)
    held = site.next_hold()
    assert (held.act.process.pid, held.act.subject) == (one.pid, "crowd")


def test_children_belong_to_the_session_of_their_parents(site: Site) -> None:
    """The first process of the subject gives the session, also where one between never acted."""
    site.start(RULES)
    code = (
        "child = os.fork()\n"
        "if child == 0:\n"
        " if os.fork() == 0: os.execv('/usr/bin/sleep', ['sleep', '95'])\n"
        " os.wait()\n"
        "os.wait()"
    )
    first = site.run(code)
    held = site.next_hold(lambda act: act.argv[-1:] == ("95",))
    act = held.act
    assert act.session.startswith(f"{first.pid}-")
    assert [one.pid for one in act.ancestors][1] == first.pid
    assert act.ancestors[1].argv[:1] == ("/usr/bin/python3",)
    assert site.sensor.session_of(act.process.pid) == act.session
    members = {one.pid for one in site.sensor.labelled("ai")}
    assert members == {first.pid, act.process.pid, act.ancestors[0].pid}
    assert site.sensor.session_of(os.getpid()) is None
    os.kill(act.process.pid, signal.SIGKILL)


def test_what_had_ended_before_the_report_is_told_as_that(site: Site) -> None:
    """Nobody is stopped, above all not whoever has its number by then."""
    site.start(RULES)
    ended = 0
    for _ in range(30):
        site.run(["/usr/bin/sleep", "0"]).end()
        held = site.next_hold()
        if held.ended:
            ended += 1
            assert held.act.subject == "ai"
            assert held.act.argv == ("/usr/bin/sleep", "0")
    assert ended, "each of 30 commands that do nothing was stopped in time"
    assert not site.sensor.all_holds()


NETWORK = """
rules:
  - id: test.out
    description: Reaches out.
    severity: high
    match: { connect: { address: 127.0.0.0/8, port: 9999, transport: [tcp, udp] } }
    action: ask
  - id: test.socket
    description: Reaches a socket.
    severity: high
    match: { connect: { path: "{place}/sock" } }
    action: ask
"""


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.UDP])
@pytest.mark.parametrize("blocking", [True, False])
def test_a_connect_is_stopped(site: Site, transport: Transport, blocking: bool) -> None:
    """With address, port and transport, also one that is only under way."""
    site.start(NETWORK)
    with socket.create_server(("127.0.0.1", 9999)):
        kind = "STREAM" if transport is Transport.TCP else "DGRAM"
        one = site.run(
            "for port in (9998, 9999):\n"
            f" s = socket.socket(type=socket.SOCK_{kind}); s.setblocking({blocking})\n"
            " s.connect_ex(('127.0.0.1', port))\n"
            "sys.stdin.readline()"
        )
        held = site.next_hold()
    act = held.act
    assert (act.kind, act.transport) == (Kind.CONNECT, transport)
    assert (act.address, act.port) == ("127.0.0.1", 9999)
    one.wait_stopped()


@pytest.mark.parametrize("call", ["sendto", "sendmsg"])
def test_a_datagram_is_reported_once_it_has_left(site: Site, call: str) -> None:
    """A send on a connection is none: the connection was."""
    site.start(NETWORK)
    peer = "('127.0.0.1', 9999)"
    way = f"s.sendto(b'x', {peer})" if call == "sendto" else f"s.sendmsg([b'x'], [], 0, {peer})"
    site.run(
        "a, b = socket.socketpair()\na.send(b'x'); a.sendmsg([b'y'])\n"
        f"s = socket.socket(type=socket.SOCK_DGRAM)\n{way}\nsys.stdin.readline()"
    )
    act = site.next_hold().act
    assert (act.kind, act.transport, act.port) == (Kind.SEND, Transport.UDP, 9999)
    assert (act.messages, act.result) == (1, 1)


@pytest.mark.parametrize("name", ["{place}/sock", "sock", "./x/../sock"])
def test_a_socket_with_a_path_is_known_by_it(site: Site, name: str) -> None:
    """As the caller names it, from the directory that it is in."""
    (site.place / "x").mkdir()
    site.start(NETWORK)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(site.place / "sock"))
        server.listen()
        (site.place / "sock").chmod(0o777)
        name = name.replace("{place}", str(site.place))
        site.run(f"s = socket.socket(1)\ns.connect({name!r})\nsys.stdin.readline()")
        act = site.next_hold().act
    assert (act.transport, act.path, act.cwd) == (Transport.UNIX, name, str(site.place))
    assert act.inode == (site.place / "sock").stat().st_ino


def test_a_process_with_threads_stops_whole(site: Site, key: Path) -> None:
    """Whichever thread has done it."""
    site.start(RULES)
    one = site.run(
        f"threading.Thread(target=lambda: (open({str(key)!r}), sys.stdin.readline())).start()\n"
        "while True: pass"
    )
    act = site.next_hold(_is_open).act
    assert act.process.pid == one.pid
    one.wait_stopped()
    assert {thread.state for thread in procfs.threads(one.pid)} == {"T"}


def test_entries_outlive_the_agent_and_its_processes_are_stopped_again(site: Site) -> None:
    """An agent that was killed between the entry and the stop has left one that runs."""
    site.start(RULES)
    one = site.run(["/usr/bin/sleep", "94"])
    held = site.next_hold()
    one.wait_stopped()
    site.stop()
    signal.pidfd_send_signal(one.descriptor, signal.SIGCONT)
    site.sensor = site.new_sensor()
    assert site.sensor.all_holds() == [held]
    site.start(RULES)
    one.wait_stopped()
    site.sensor.forget(held.key)
    assert site.sensor.all_holds() == []
    signal.pidfd_send_signal(one.descriptor, signal.SIGKILL)
    wait_gone(one.pid)

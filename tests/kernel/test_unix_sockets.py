"""Sockets of this host: by the path that was really reached, by name, or as the caller wrote it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rules.model import Action
from tests.support.sensors import guarantee
from tests.support.watched import Watched
from wire.acts import Guarantee, Kind, Transport

pytestmark = pytest.mark.kernel

RULES = """
rules:
  - id: sockets
    description: A socket that gives away the host.
    severity: critical
    match: { connect: { path: PATTERN } }
    action: ask
"""


@contextmanager
def listening(
    path: str | Path, kind: socket.SocketKind = socket.SOCK_STREAM
) -> Iterator[socket.socket]:
    """Have a socket at a path that everybody may reach, or under an abstract name."""
    with socket.socket(socket.AF_UNIX, kind) as one:
        one.bind(os.fspath(path))
        if isinstance(path, Path):
            path.chmod(0o777)
        one.settimeout(20)
        if kind is not socket.SOCK_DGRAM:
            one.listen()
        yield one


@pytest.fixture
def where(watched: Watched) -> Path:
    """The path of a socket in a directory of its own, to which a link leads."""
    directory = watched.place / "sockets"
    directory.mkdir()
    directory.chmod(0o777)
    (watched.place / "link").symlink_to("sockets/control.sock")
    return directory / "control.sock"


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_SEQPACKET", "SOCK_DGRAM"])
@pytest.mark.parametrize(
    "name", ["{place}/sockets/control.sock", "link", "./sockets/../sockets/control.sock"]
)
def test_a_connection_is_told_by_the_path_that_it_reached(
    watched: Watched, where: Path, name: str, kind: str
) -> None:
    """A symbolic link or a relative name leads to the same socket; after the answer it works."""
    watched.rules(RULES.replace("PATTERN", '"{place}/sockets/*"'))
    name = name.replace("{place}", str(watched.place))
    with listening(where, socket.SocketKind[kind]) as server:
        child = watched.run(
            f"s = socket.socket(socket.AF_UNIX, socket.{kind})\n"
            f"s.connect({name!r})\ns.send(b'hello')\n"
        )
        held = watched.next_hold(child)
        child.wait_stopped()
        act = held.act
        assert (act.kind, act.guarantee, act.transport) == (
            Kind.CONNECT,
            guarantee(Guarantee.STOPPED),
            Transport.UNIX,
        )
        assert (act.path, act.path_resolved) == (str(where), True)
        assert (act.device, act.inode) == (where.stat().st_dev, where.stat().st_ino)
        assert watched.ruling(act).action is Action.ASK
        watched.let_go(held, child)
        connection = server if kind == "SOCK_DGRAM" else server.accept()[0]
        with connection:
            assert connection.recv(10) == b"hello"
        assert child.end() == 0


def test_another_name_of_the_same_socket_is_the_same_socket(watched: Watched, where: Path) -> None:
    """A hard link to a socket leads to the path that it was bound to."""
    watched.rules(RULES.replace("PATTERN", "control.sock"))
    with listening(where):
        os.link(where, watched.place / "innocent")
        child = watched.run("socket.socket(socket.AF_UNIX).connect('innocent')\n")
        assert watched.next_hold(child).act.path == str(where)


def test_an_abstract_socket_is_told_by_its_name(watched: Watched) -> None:
    """A name in no directory is written with an @ before it."""
    watched.rules(RULES.replace("PATTERN", '"@holdfast-test-*"'))
    with listening("\0holdfast-test-abstract"):
        child = watched.run("socket.socket(socket.AF_UNIX).connect('\\0holdfast-test-abstract')\n")
        act = watched.next_hold(child).act
    assert (act.path, act.path_resolved, act.inode) == ("@holdfast-test-abstract", True, 0)
    assert (act.kind, act.transport) == (Kind.CONNECT, Transport.UNIX)
    assert watched.ruling(act).action is Action.ASK


SENDS = {
    "sendto": "s.sendto(b'hello', {name!r})",
    "sendmsg": "s.sendmsg([b'hello'], [], 0, {name!r})",
}


@pytest.mark.parametrize("how", SENDS)
@pytest.mark.parametrize("pattern", ['"{place}/sockets/*"', "control.sock", '"**/sockets/**"'])
@pytest.mark.parametrize("name", ["{place}/sockets/control.sock", "sockets/control.sock"])
def test_a_datagram_to_a_path_is_late_and_told_as_the_caller_wrote_it(
    watched: Watched, where: Path, name: str, pattern: str, how: str
) -> None:
    """The kernel keeps no record of where it went, so the name is marked as not resolved."""
    watched.rules(RULES.replace("PATTERN", pattern))
    name = name.replace("{place}", str(watched.place))
    with listening(where, socket.SOCK_DGRAM) as server:
        child = watched.run(
            "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n" + SENDS[how].format(name=name)
        )
        held = watched.next_hold(child)
        child.wait_stopped()
        assert server.recv(10) == b"hello"
    act = held.act
    assert (act.kind, act.guarantee, act.transport) == (Kind.SEND, Guarantee.LATE, Transport.UNIX)
    assert (act.path, act.path_resolved, act.messages) == (name, False, 1)
    assert watched.ruling(act).action is Action.ASK
    watched.let_go(held, child)
    assert child.end() == 0


def test_a_datagram_to_an_abstract_name_is_told_by_it(watched: Watched) -> None:
    """Abstract names need no resolving, and rules name them alike."""
    watched.rules(RULES.replace("PATTERN", '"@holdfast-test-*"'))
    with listening("\0holdfast-test-abstract", socket.SOCK_DGRAM):
        child = watched.run(
            "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
            "s.sendto(b'hello', '\\0holdfast-test-abstract')\n"
        )
        act = watched.next_hold(child).act
    assert act.path == "@holdfast-test-abstract"
    assert watched.ruling(act).action is Action.ASK


def test_a_socket_that_no_rule_names_is_left_alone(watched: Watched, where: Path) -> None:
    """Neither a connection nor a datagram to another socket is asked about."""
    watched.rules(RULES.replace("PATTERN", '"{place}/sockets/control.sock"'))
    other = watched.place / "other.sock"
    with listening(other, socket.SOCK_DGRAM):
        child = watched.run(
            "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
            "s.sendto(b'x', 'other.sock')\ns.connect('other.sock')\nsay('on')\n"
        )
        assert [held for held in watched.passing(child) if watched.ruling(held.act).rule] == []
    assert child.rest() == "on\n"


def test_a_failed_connection_reached_nothing(watched: Watched, where: Path) -> None:
    """Nobody listens there: the process sees the error at once."""
    watched.rules(RULES.replace("PATTERN", '"{place}/sockets/*"'))
    child = watched.run(
        "try: socket.socket(socket.AF_UNIX).connect('sockets/control.sock')\n"
        "except FileNotFoundError: sys.exit(7)\n"
    )
    assert child.end() == 7
    assert watched.holds() == []

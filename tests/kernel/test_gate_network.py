"""Gate mode and the network: nothing leaves before the answer, as a capture shows."""

import errno
import os
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.inside import PATIENCE
from tests.support.watched import Watched
from wire.acts import Guarantee, Kind, Transport

pytestmark = [pytest.mark.kernel, pytest.mark.gate]

RULES = """
rules:
  - id: out
    description: Leaves this process.
    severity: high
    match: { connect: { port: PORT } }
    action: ask
"""
UNIX = """
rules:
  - id: socket
    description: A socket of the host.
    severity: high
    match: { connect: { path: "{place}/there" } }
    action: ask
"""


class Capture:
    """What has passed the loopback interface to or from a port."""

    def __init__(self, port: int) -> None:
        self._port = port.to_bytes(2, "big")
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
        self._socket.bind(("lo", 0))

    def seen(self) -> int:
        """Return how many packets there were since the last time."""
        found = 0
        while select.select([self._socket], [], [], 0.05)[0]:
            frame = self._socket.recv(65536)
            header = 14 + 4 * (frame[14] & 15) if frame[12:14] == b"\x08\x00" else 14 + 40
            found += self._port in (frame[header : header + 2], frame[header + 2 : header + 4])
        return found

    def close(self) -> None:
        """Stop."""
        self._socket.close()


@contextmanager
def capturing(port: int) -> Iterator[Capture]:
    """Capture while the block runs."""
    made = Capture(port)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def udp() -> Iterator[socket.socket]:
    """A socket that receives on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        one.settimeout(5 * PATIENCE)
        yield one


@pytest.fixture
def tcp() -> Iterator[socket.socket]:
    """A socket that accepts on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        one.settimeout(5 * PATIENCE)
        yield one


CONNECT = """
one = socket.socket(FAMILY, socket.SOCK_STREAM)
try:
    one.connect(ADDRESS)
    say('connected')
except OSError as error:
    say('failed', error.errno)
"""


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6"])
def test_no_packet_of_a_connection_leaves_before_the_answer(
    watched: Watched, tcp: socket.socket, family: str
) -> None:
    """Not even the first; after an approval the same call connects."""
    port = tcp.getsockname()[1]
    watched.rules(RULES.replace("PORT", str(port)))
    host = "127.0.0.1" if family == "AF_INET" else "::ffff:127.0.0.1"
    code = CONNECT.replace("FAMILY", f"socket.{family}").replace("ADDRESS", repr((host, port)))
    with capturing(port) as capture:
        child = watched.run(code)
        held = watched.next_hold(child)
        child.wait_stopped()
        assert capture.seen() == 0
        act = held.act
        assert (act.kind, act.guarantee, act.transport) == (
            Kind.CONNECT,
            Guarantee.HELD,
            Transport.TCP,
        )
        assert (act.address, act.port) == ("127.0.0.1", port)
        watched.let_go(held, child)
        assert child.line() == "connected"
        assert capture.seen() > 0


def test_a_refused_connection_fails(watched: Watched, tcp: socket.socket) -> None:
    """With EPERM, and nothing has left."""
    port = tcp.getsockname()[1]
    watched.rules(RULES.replace("PORT", str(port)))
    code = CONNECT.replace("FAMILY", "socket.AF_INET").replace("ADDRESS", f"('127.0.0.1', {port})")
    with capturing(port) as capture:
        child = watched.run(code)
        watched.let_go(watched.next_hold(child), child, refuse=True)
        assert child.line() == f"failed {errno.EPERM}"
        assert capture.seen() == 0


SENDS = {
    "sendto": "one.sendto(b'hello', to)",
    "sendmsg": "one.sendmsg([b'hello'], [], 0, to)",
    "connect": "one.connect(to); one.send(b'hello')",
}


@pytest.mark.parametrize("way", SENDS)
def test_no_datagram_leaves_before_the_answer(
    watched: Watched, udp: socket.socket, way: str
) -> None:
    """And exactly one does after it."""
    port = udp.getsockname()[1]
    watched.rules(RULES.replace("PORT", str(port)))
    with capturing(port) as capture:
        child = watched.run(
            f"to = ('127.0.0.1', {port}); one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            f"{SENDS[way]}; say('sent')"
        )
        held = watched.next_hold(child)
        child.wait_stopped()
        assert capture.seen() == 0
        assert held.act.kind is (Kind.CONNECT if way == "connect" else Kind.SEND)
        assert held.act.transport is Transport.UDP
        watched.let_go(held, child)
        assert child.line() == "sent"
        assert udp.recv(100) == b"hello"
        udp.settimeout(0)
        with pytest.raises(BlockingIOError):
            udp.recv(100)


def test_data_of_a_fast_open_does_not_leave_before_the_answer(
    watched: Watched, tcp: socket.socket
) -> None:
    """It needs no connect, and may put data into the first packet."""
    port = tcp.getsockname()[1]
    watched.rules(RULES.replace("PORT", str(port)))
    with capturing(port) as capture:
        child = watched.run(
            "one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)\n"
            f"say(one.sendto(b'hello', 0x20000000, ('127.0.0.1', {port})))"
        )
        held = watched.next_hold(child)
        child.wait_stopped()
        assert capture.seen() == 0
        assert held.act.kind is Kind.CONNECT
        watched.let_go(held, child)
        assert child.line() == "5"
        connection, _ = tcp.accept()
        with connection:
            assert connection.recv(10) == b"hello"


def test_of_a_batch_of_datagrams_none_goes_to_where_it_may_not(
    watched: Watched, udp: socket.socket
) -> None:
    """sendmmsg: what is for elsewhere has left; the rest goes by the next call, once approved."""
    port = udp.getsockname()[1]
    watched.rules(RULES.replace("PORT", str(port)))
    code = f"""
import ctypes
class Vector(ctypes.Structure):
    _fields_ = [('base', ctypes.c_char_p), ('length', ctypes.c_size_t)]
class Header(ctypes.Structure):
    _fields_ = [('name', ctypes.c_char_p), ('namelen', ctypes.c_uint),
                ('iov', ctypes.POINTER(Vector)),
                ('iovlen', ctypes.c_size_t), ('control', ctypes.c_void_p),
                ('controllen', ctypes.c_size_t), ('flags', ctypes.c_int)]
class Many(ctypes.Structure):
    _fields_ = [('header', Header), ('sent', ctypes.c_uint)]
def address(port):
    return struct.pack('<H', 2) + struct.pack('>H', port) + bytes([127, 0, 0, 1]) + bytes(8)
vector = Vector(b'hello', 5)
def to(port):
    return Many(Header(address(port), 16, ctypes.pointer(vector), 1, None, 0, 0), 0)
both = (Many * 2)(to(9), to({port}))
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
say(call(307, one.fileno(), both, 2, 0))
say(call(307, one.fileno(), ctypes.byref(both[1]), 1, 0))
"""
    child = watched.run(code)
    held = watched.next_hold(child)
    child.wait_stopped()
    watched.let_go(held, child)
    assert child.line() == "1", "the call has sent one, and says so"
    assert child.line() == "1"
    assert udp.recv(100) == b"hello"


def serve(path: str, kind: int) -> socket.socket:
    """Return a socket of the host at a path."""
    one = socket.socket(socket.AF_UNIX, kind)
    one.bind(path)
    os.chmod(path, 0o777)  # noqa: S103
    if kind == socket.SOCK_STREAM:
        one.listen()
    one.settimeout(5 * PATIENCE)
    return one


@pytest.mark.parametrize("name", ["there", "link", "./there", "link-to-directory/there"])
def test_a_socket_of_the_host_is_known_by_whatever_name(watched: Watched, name: str) -> None:
    """It is the one that the kernel has found, and nothing reaches it while the call is held."""
    place = watched.place
    (place / "link").symlink_to("there")
    (place / "link-to-directory").symlink_to(place)
    with serve(str(place / "there"), socket.SOCK_STREAM) as server:
        watched.rules(UNIX)
        child = watched.run(
            f"one = socket.socket(socket.AF_UNIX); one.connect({name!r}); say('connected')"
        )
        held = watched.next_hold(child)
        child.wait_stopped()
        assert held.act.path == str(place / "there")
        assert not select.select([server], [], [], 0)[0]
        watched.let_go(held, child)
        assert child.line() == "connected"


def test_datagrams_to_a_socket_of_the_host_are_held(watched: Watched) -> None:
    """Each that has an address; of a socket that is connected, the connect."""
    place = watched.place
    with serve(str(place / "there"), socket.SOCK_DGRAM) as server:
        watched.rules(UNIX)
        child = watched.run(
            "one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
            "one.sendto(b'one', 'there'); say('sent')\n"
            "one.connect('there'); one.send(b'two'); one.send(b'three'); say('sent')"
        )
        for kind in (Kind.SEND, Kind.CONNECT):
            held = watched.next_hold(child)
            child.wait_stopped()
            assert held.act.kind is kind
            assert not select.select([server], [], [], 0)[0]
            watched.let_go(held, child)
            assert child.line() == "sent"
            assert server.recv(10) in (b"one", b"two")
        assert server.recv(10) == b"three"


def test_a_listening_socket_is_held_before_anybody_can_reach_it(watched: Watched) -> None:
    """And reached after the answer."""
    watched.rules(
        "rules:\n  - id: listens\n    description: Listens.\n    severity: low\n"
        "    match: { listen: { port: 1-65535 } }\n    action: ask\n"
    )
    child = watched.run(
        "one = socket.socket(); one.bind(('127.0.0.1', 0)); say(one.getsockname()[1])\n"
        "one.listen(); say('listens'); one.accept(); say('reached')"
    )
    port = int(child.line())
    held = watched.next_hold(child)
    child.wait_stopped()
    assert (held.act.kind, held.act.address, held.act.port) == (Kind.LISTEN, "127.0.0.1", port)
    with socket.socket() as one, pytest.raises(ConnectionRefusedError):
        one.connect(("127.0.0.1", port))
    watched.let_go(held, child)
    assert child.line() == "listens"
    with socket.create_connection(("127.0.0.1", port)):
        assert child.line() == "reached"

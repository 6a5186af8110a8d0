"""connect: a connection is started, and its process stopped before it can use it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rules.model import Action
from tests.support.tiny_elf import write_old_connector
from tests.support.watched import Watched
from wire.acts import Guarantee, Kind, Transport

pytestmark = pytest.mark.kernel

RULES = """
rules:
  - id: loopback
    description: This host itself.
    severity: medium
    match: { connect: { address: ["127.0.0.0/8", "::1"], port: PORT } }
    action: ask
"""
WAYS = {
    "blocking": "s.connect(to)",
    "non-blocking": (
        "s.setblocking(False)\n"
        "print(s.connect_ex(to), flush=True)\n"
        "import select; select.select([], [s], [])\n"
        "s.setblocking(True)"
    ),
    "timeout": "s.settimeout(30); s.connect(to)",
    "system call": (
        "packed = struct.pack('<HH', s.family, socket.htons(to[1]))\n"
        "if s.family == socket.AF_INET: packed += socket.inet_aton(to[0]) + bytes(8)\n"
        "else: packed += bytes(4) + socket.inet_pton(s.family, to[0]) + bytes(4)\n"
        "call(42, s.fileno(), packed, len(packed))"
    ),
}
PLACES = {
    "IPv4": ("AF_INET", "127.0.0.1", "127.0.0.1"),
    "IPv6": ("AF_INET6", "::1", "::1"),
    "IPv4 in IPv6": ("AF_INET6", "::ffff:127.0.0.1", "127.0.0.1"),
}


@contextmanager
def listener(address: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    """Have a socket that somebody may connect to or send to."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as one:
        one.bind((address, 0))
        one.settimeout(20)
        if kind is socket.SOCK_STREAM:
            one.listen()
        yield one


def client(family: str, address: str, port: int, way: str) -> str:
    """Return code that connects and says hello."""
    return (
        f"s = socket.socket(socket.{family})\nto = ({address!r}, {port})\n{way}\n"
        "s.sendall(b'hello')\nassert s.recv(10) == b'welcome'\n"
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", PLACES)
def test_a_tcp_connection_is_stopped_and_works_after_the_answer(
    watched: Watched, kind: str, way: str
) -> None:
    """The address is the one that the kernel connects to; after SIGCONT both ends talk."""
    family, address, told = PLACES[kind]
    with listener(told) as server:
        port = server.getsockname()[1]
        watched.rules(RULES.replace("PORT", str(port)))
        child = watched.run(client(family, address, port, WAYS[way]))
        held = watched.next_hold(child)
        act = held.act
        child.wait_stopped()
        assert (act.kind, act.guarantee) == (Kind.CONNECT, Guarantee.STOPPED)
        assert (act.transport, act.address, act.port) == (Transport.TCP, told, port)
        assert act.result is None
        assert watched.ruling(act).action is Action.ASK
        watched.let_go(held, child)
        connection = server.accept()[0]
        with connection:
            assert connection.recv(10) == b"hello"
            connection.sendall(b"welcome")
            assert child.end() == 0
    assert watched.holds() == []


def test_a_process_killed_at_its_connection_has_sent_nothing(watched: Watched) -> None:
    """The other end may see a connection begin and end; no byte of the process came over it."""
    with listener("127.0.0.1") as server:
        port = server.getsockname()[1]
        watched.rules(RULES.replace("PORT", str(port)))
        child = watched.run(client("AF_INET", "127.0.0.1", port, WAYS["blocking"]))
        watched.next_hold(child)
        child.wait_stopped()
        child.kill()
        connection = server.accept()[0]
        with connection:
            assert connection.recv(10) == b""


@pytest.mark.parametrize(("transport", "held"), [("raw", 0), ("udp", 0), ("tcp", 1)])
def test_the_kernel_tells_transports_apart(watched: Watched, transport: str, held: int) -> None:
    """A rule about raw sockets to anywhere makes no TCP connection wait for the agent."""
    with listener("127.0.0.1") as server:
        watched.rules(RULES.replace("port: PORT", f"transport: {transport}"))
        port = server.getsockname()[1]
        child = watched.run(f"s = socket.socket()\ns.connect(('127.0.0.1', {port}))\ns.close()\n")
        assert len(watched.passing(child)) == held
        assert child.end() == 0


def test_a_refused_connection_was_held_all_the_same(watched: Watched) -> None:
    """Whether anybody listens is not known before the first packet, which is the act."""
    with listener("127.0.0.1") as server:
        port = server.getsockname()[1]
    watched.rules(RULES.replace("PORT", str(port)))
    child = watched.run(
        f"try: socket.create_connection(('127.0.0.1', {port}))\n"
        "except ConnectionRefusedError: sys.exit(7)\n"
    )
    watched.let_go(watched.next_hold(child), child)
    assert child.end() == 7


def test_a_fast_open_send_is_a_connection_that_may_be_late(watched: Watched) -> None:
    """MSG_FASTOPEN connects without connect, and its data may leave with the first packet."""
    with listener("127.0.0.1") as server:
        port = server.getsockname()[1]
        watched.rules(RULES.replace("PORT", str(port)))
        child = watched.run(
            "s = socket.socket()\n"
            f"assert s.sendto(b'hello', socket.MSG_FASTOPEN, ('127.0.0.1', {port})) == 5\n"
            "assert s.recv(10) == b'welcome'\n"
        )
        held = watched.next_hold(child)
        child.wait_stopped()
        act = held.act
        assert (act.kind, act.transport) == (Kind.CONNECT, Transport.TCP)
        assert (act.address, act.port) == ("127.0.0.1", port)
        assert act.guarantee is Guarantee.LATE
        watched.let_go(held, child)
        connection = server.accept()[0]
        with connection:
            assert connection.recv(10) == b"hello"
            connection.sendall(b"welcome")
        assert child.end() == 0


def test_a_multipath_connection_is_stopped_like_any_other(watched: Watched) -> None:
    """MPTCP opens a TCP connection of its own underneath."""
    with listener("127.0.0.1") as server:
        port = server.getsockname()[1]
        watched.rules(RULES.replace("PORT", str(port)))
        child = watched.run(
            f"s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)\n"
            f"s.connect(('127.0.0.1', {port}))\nsay('connected')\n"
        )
        act = watched.next_hold(child).act
        child.wait_stopped()
        assert (act.transport, act.address, act.port) == (Transport.TCP, "127.0.0.1", port)


@pytest.mark.parametrize("kind", PLACES)
def test_a_datagram_socket_is_stopped_when_it_has_been_connected(
    watched: Watched, kind: str
) -> None:
    """Nothing leaves by connecting a datagram socket; sends over it need no address any more."""
    family, address, told = PLACES[kind]
    with listener(told, socket.SOCK_DGRAM) as server:
        port = server.getsockname()[1]
        watched.rules(RULES.replace("PORT", str(port)))
        child = watched.run(
            f"s = socket.socket(socket.{family}, socket.SOCK_DGRAM)\n"
            f"s.connect(({address!r}, {port}))\ns.send(b'hello')\n"
        )
        held = watched.next_hold(child)
        child.wait_stopped()
        act = held.act
        assert (act.kind, act.guarantee, act.result) == (Kind.CONNECT, Guarantee.STOPPED, 0)
        assert (act.transport, act.address, act.port) == (Transport.UDP, told, port)
        watched.let_go(held, child)
        assert server.recv(10) == b"hello"
        assert child.end() == 0
    assert watched.holds() == []


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6"])
def test_ending_a_datagram_connection_is_no_act(watched: Watched, family: str) -> None:
    """connect with AF_UNSPEC reaches nobody, though the socket keeps an old address."""
    watched.rules(RULES.replace('["127.0.0.0/8", "::1"], port: PORT', '["0.0.0.0/0", "::/0"]'))
    address = "127.0.0.1" if family == "AF_INET" else "::1"
    child = watched.run(
        f"s = socket.socket(socket.{family}, socket.SOCK_DGRAM)\n"
        f"s.connect(({address!r}, 9))\n"
        "call(42, s.fileno(), bytes(16), 16)\nsay('ended')\n"
    )
    watched.let_go(watched.next_hold(child), child)
    assert child.rest() == "ended\n"
    assert watched.holds() == []


CASES = {
    # of this one only, and of no other port
    ("127.0.0.1", 5001): True,
    ("127.0.0.1", 5002): False,
    ("127.0.0.1", 5003): True,
    # within the range of ports
    ("127.1.2.3", 6000): True,
    ("127.1.2.3", 6010): True,
    ("127.1.2.3", 6011): False,
    # but not the exception in it
    ("127.1.2.3", 6005): False,
    # nor the excepted prefix, of which a part is named again
    ("127.9.0.1", 5001): False,
    ("127.9.9.1", 5001): True,
    # nor another family
    ("::1", 5001): False,
    ("::1", 7000): True,
}
PREFIXES = """
rules:
  - id: some
    description: Some ports, but for one and for a prefix.
    severity: medium
    match:
      connect:
        address: 127.0.0.0/8
        port: [5001, 5003, "6000-6010"]
        not: { port: 6005 }
    action: ask
  - id: excepted
    description: The excepted prefix.
    severity: medium
    match: { connect: { address: 127.9.0.0/16, not: { address: 127.9.9.0/24 } } }
    action: allow
  - id: six
    description: One port of IPv6.
    severity: medium
    match: { connect: { address: "::1", port: 7000 } }
    action: ask
"""


@pytest.mark.parametrize("where", CASES, ids=str)
def test_prefixes_ports_and_exceptions_decide_what_is_held(
    watched: Watched, where: tuple[str, int]
) -> None:
    """What the kernel stops, the rules ask about; and what the rules ask about is stopped."""
    watched.rules(PREFIXES)
    address, port = where
    family = "AF_INET6" if ":" in address else "AF_INET"
    child = watched.run(
        f"s = socket.socket(socket.{family}, socket.SOCK_DGRAM)\n"
        f"s.connect(({address!r}, {port}))\nsay('on')\n"
    )
    # The kernel may stop more than the rules ask about; then the agent lets it go at once.
    asked = [
        held for held in watched.passing(child) if watched.ruling(held.act).action is Action.ASK
    ]
    assert bool(asked) is CASES[where]
    assert watched.holds() == []


def test_an_observed_connection_runs_on_and_is_recorded(watched: Watched) -> None:
    """Address, port and who; the result is not known yet."""
    with listener("127.0.0.1") as server:
        port = server.getsockname()[1]
        watched.rules(RULES.replace("PORT", str(port)).replace("ask", "observe"))
        child = watched.run(f"socket.create_connection(('127.0.0.1', {port}))\n")
        assert child.end() == 0
    acts = watched.acts()
    assert [(a.kind, a.address, a.port, a.result, a.process.pid) for a in acts] == [
        (Kind.CONNECT, "127.0.0.1", port, None, child.pid)
    ]


def test_a_32_bit_connect_is_held_like_any_other(watched: Watched) -> None:
    """socketcall, with its arguments in memory, is no way around."""
    after = watched.place / "after"
    watched.rules(RULES.replace("PORT", "5005"))
    write_old_connector(watched.place / "old", 5005, after)
    child = watched.run([watched.place / "old"])
    held = watched.next_hold(child)
    child.wait_stopped()
    assert not after.exists()
    assert (held.act.kind, held.act.transport) == (Kind.CONNECT, Transport.UDP)
    assert (held.act.address, held.act.port) == ("127.0.0.1", 5005)
    watched.let_go(held, child)
    assert child.end() == 0
    assert after.exists()

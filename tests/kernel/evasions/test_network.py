"""Ways out of a host that are no connection of TCP."""

import socket
from collections.abc import Iterator

import pytest

from rules.model import Action
from tests.kernel.test_connect import listener
from tests.support.sensors import GATE
from tests.support.started import Started
from tests.support.watched import Watched

pytestmark = pytest.mark.kernel

EVERYTHING = """
rules:
  - id: network
    description: Anywhere but the resolver.
    severity: high
    match: { connect: { address: ["0.0.0.0/0", "::/0"], not: { port: PORT } } }
    action: ask
"""
_LOCAL_EXPERIMENT = 0x88B5  # an EtherType that is nobody's


@pytest.fixture
def wire() -> Iterator[socket.socket]:
    """All frames of an unused protocol on the loopback interface."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as one:
        one.bind(("lo", _LOCAL_EXPERIMENT))
        one.settimeout(0.5)
        yield one


def handed_on(watched: Watched, code: str) -> Started:
    """Start code that makes a socket as root, and uses it as the watched user."""
    making, using = code.split("--\n")
    child = watched.run(f"{making}os.setresuid(*[int(sys.stdin.readline())] * 3)\n{using}", user=0)
    child.tell(str(watched.accounts.watched.pw_uid))
    return child


def test_a_packet_below_ip_is_held_in_gate_mode_and_not_seen_in_stop_mode(
    watched: Watched, wire: socket.socket
) -> None:
    """Who has such a socket can build any packet; making one takes rights or a namespace."""
    watched.rules(EVERYTHING.replace("PORT", "1"))
    child = handed_on(
        watched,
        "s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)\n--\n"
        f"s.sendto(b'secret', ('lo', {_LOCAL_EXPERIMENT}, 0, 0, bytes(6)))\nsay('sent')\n",
    )
    if GATE:
        held = watched.next_hold(child)
        child.wait_stopped()
        assert watched.ruling(held.act).action is Action.ASK
        with pytest.raises(TimeoutError):
            wire.recv(100)
        watched.let_go(held, child)
    assert child.line() == "sent"
    assert wire.recv(100).startswith(b"secret")
    assert watched.holds() == []


def test_a_virtual_machine_socket_is_held_in_gate_mode_and_not_seen_in_stop_mode(
    watched: Watched,
) -> None:
    """vsock leads to the host of a virtual machine, past every network."""
    try:
        socket.socket(socket.AF_VSOCK).close()
    except OSError:
        pytest.skip("this kernel has no vsock: modprobe vsock")
    watched.rules(EVERYTHING.replace("PORT", "1"))
    child = watched.run(
        # To this machine itself; nobody listens.
        "try: socket.socket(socket.AF_VSOCK).connect((1, 4711))\n"
        "except OSError: pass\nsay('tried')\n"
    )
    if GATE:
        held = watched.next_hold(child)
        child.wait_stopped()
        assert watched.ruling(held.act).action is Action.ASK
        watched.let_go(held, child)
    assert child.rest() == "tried\n"
    assert watched.holds() == []


def test_what_is_asked_of_an_allowed_resolver_is_not_looked_at(watched: Watched) -> None:
    """A secret leaves in a name, in any mode; asking another resolver is an act."""
    with listener("127.0.0.1", socket.SOCK_DGRAM) as one, listener("127.0.0.1") as other:
        resolver, elsewhere = one.getsockname()[1], other.getsockname()[1]
        watched.rules(EVERYTHING.replace("PORT", str(resolver)))
        child = watched.run(
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            f"s.sendto(b'swordfish.example.com', ('127.0.0.1', {resolver}))\n"
            "say('asked')\n"
            f"s.sendto(b'swordfish.example.com', ('127.0.0.1', {elsewhere}))\n"
        )
        assert child.line() == "asked"
        assert one.recv(100) == b"swordfish.example.com"
        held = watched.next_hold(child)
        assert held.act.port == elsewhere
        child.kill()

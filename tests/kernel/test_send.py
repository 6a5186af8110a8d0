"""Sends with an address: noticed when the call returns, when the datagrams have left."""

import errno
import socket

import pytest

from rules.model import Action
from tests.kernel.test_connect import listener
from tests.support.tiny_elf import write_old_sender
from tests.support.watched import Watched
from wire.acts import Guarantee, Kind, Transport

pytestmark = pytest.mark.kernel

RULES = """
rules:
  - id: one-port
    description: One port of this host.
    severity: medium
    match: { connect: { address: ["127.0.0.0/8", "::1"], port: PORT } }
    action: ask
"""
SENDMMSG = """
def sendmmsg(s, places):
    kept, headers = [], b""
    for address, port in places:
        name = ctypes.create_string_buffer(
            struct.pack("<HH", 2, socket.htons(port)) + socket.inet_aton(address) + bytes(8), 16)
        data = ctypes.create_string_buffer(b"x", 1)
        vector = ctypes.create_string_buffer(struct.pack("<QQ", ctypes.addressof(data), 1), 16)
        kept += [name, data, vector]
        headers += struct.pack("<QIIQQ", ctypes.addressof(name), 16, 0, ctypes.addressof(vector), 1)
        headers += bytes(32)
    return call(307, s.fileno(), headers, len(places), 0)
"""
UDP = "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"


@pytest.mark.parametrize("how", ["s.sendto(b'hello', to)", "s.sendmsg([b'hello'], [], 0, to)"])
@pytest.mark.parametrize(
    ("family", "address", "told"),
    [
        ("AF_INET", "127.0.0.1", "127.0.0.1"),
        ("AF_INET", "0.0.0.0", "127.0.0.1"),  # noqa: S104
        ("AF_INET6", "::1", "::1"),
        ("AF_INET6", "::", "::1"),
        ("AF_INET6", "::ffff:127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_datagram_with_an_address_is_late_and_its_process_stopped(
    watched: Watched, how: str, family: str, address: str, told: str
) -> None:
    """The datagram has arrived while the sender waits, and the act says so."""
    with listener(told, socket.SOCK_DGRAM) as server:
        port = server.getsockname()[1]
        watched.rules(RULES.replace("PORT", str(port)))
        child = watched.run(
            f"s = socket.socket(socket.{family}, socket.SOCK_DGRAM)\n"
            f"to = ({address!r}, {port})\n{how}\nsay('on')\n"
        )
        held = watched.next_hold(child)
        child.wait_stopped()
        assert server.recv(10) == b"hello"
        act = held.act
        assert (act.kind, act.guarantee, act.messages) == (Kind.SEND, Guarantee.LATE, 1)
        assert (act.transport, act.address, act.port) == (Transport.UDP, told, port)
        assert act.result == 5
        assert watched.ruling(act).action is Action.ASK
        watched.let_go(held, child)
        assert child.rest() == "on\n"
    assert watched.holds() == []


def test_an_address_without_a_family_is_one_of_ipv4(watched: Watched) -> None:
    """The kernel takes AF_UNSPEC for AF_INET when it sends, and so does the sensor."""
    with listener("127.0.0.1", socket.SOCK_DGRAM) as server:
        port = server.getsockname()[1]
        watched.rules(RULES.replace("PORT", str(port)))
        child = watched.run(
            UDP + f"port = {port}\n"
            "to = struct.pack('<HH', 0, socket.htons(port)) + bytes([127, 0, 0, 1]) + bytes(8)\n"
            "call(44, s.fileno(), b'hello', 5, 0, to, 16)\n"
        )
        act = watched.next_hold(child).act
        assert server.recv(10) == b"hello"
        assert (act.address, act.port) == ("127.0.0.1", port)


def test_one_message_of_many_is_found(watched: Watched) -> None:
    """sendmmsg: the third address matches; the act tells that one and how many were sent."""
    watched.rules(RULES.replace("PORT", "5003"))
    places = [("127.0.0.1", 5001), ("127.0.0.1", 5002), ("127.0.0.3", 5003), ("127.0.0.1", 5004)]
    child = watched.run(UDP + SENDMMSG + f"say(sendmmsg(s, {places}))\n")
    held = watched.next_hold(child)
    act = held.act
    assert (act.kind, act.guarantee) == (Kind.SEND, Guarantee.LATE)
    assert (act.address, act.port, act.messages, act.result) == ("127.0.0.3", 5003, 4, 4)
    assert not act.addresses_cut
    watched.let_go(held, child)
    assert child.rest() == "4\n"


@pytest.mark.parametrize("count", [16, 17])
def test_more_messages_than_are_inspected_are_held_and_marked(watched: Watched, count: int) -> None:
    """Sixteen are looked at; whatever comes after could go anywhere, so a person decides."""
    watched.rules(RULES.replace("PORT", "5003"))
    child = watched.run(UDP + SENDMMSG + f"say(sendmmsg(s, [('127.0.0.1', 5001)] * {count}))\n")
    if count > 16:
        held = watched.next_hold(child)
        assert held.act.addresses_cut
        assert watched.ruling(held.act).action is Action.ASK
        watched.let_go(held, child)
    assert child.rest() == f"{count}\n"
    assert watched.holds() == []


def test_many_messages_are_only_observed_where_no_rule_would_stop_them(watched: Watched) -> None:
    """What was not inspected counts as what the rules want at most, and no more than that."""
    watched.rules(RULES.replace("PORT", "5003").replace("ask", "observe"))
    child = watched.run(UDP + SENDMMSG + "sendmmsg(s, [('127.0.0.1', 5001)] * 40)\n")
    assert child.end() == 0
    assert watched.holds() == []
    assert [(act.addresses_cut, act.messages) for act in watched.acts()] == [(True, 40)]


def test_a_failed_send_is_recorded_and_not_held(watched: Watched) -> None:
    """Nothing left the host, so nobody is asked."""
    watched.rules(RULES.replace("PORT", "5003"))
    child = watched.run(
        UDP + "s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)\n"
        "try: s.sendto(bytes(66000), ('127.0.0.1', 5003))\n"
        "except OSError as error: sys.exit(error.errno)\n"
    )
    assert child.end() == errno.EMSGSIZE
    assert watched.holds() == []
    assert [(act.kind, act.result, act.messages) for act in watched.acts()] == [
        (Kind.SEND, -errno.EMSGSIZE, 0)
    ]


def test_a_raw_packet_is_held_by_its_address(watched: Watched) -> None:
    """A raw socket that was made with rights and then handed on sends under the same rules."""
    watched.rules(RULES.replace(", port: PORT", ", transport: raw"))
    child = watched.run(
        "s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)\n"
        "os.setresuid(*[int(sys.stdin.readline())] * 3)\n"
        # An echo reply that nobody asked for.
        "s.sendto(bytes([0, 0, 0xff, 0xff]) + bytes(4), ('127.0.0.1', 0))\n",
        user=0,
    )
    child.tell(str(watched.accounts.watched.pw_uid))
    act = watched.next_hold(child).act
    assert (act.kind, act.transport) == (Kind.SEND, Transport.RAW)
    assert (act.address, act.port) == ("127.0.0.1", 0)
    assert watched.ruling(act).action is Action.ASK


def test_what_goes_over_a_connection_is_not_held_again(watched: Watched) -> None:
    """The connection was the act; TCP ignores an address given with a send."""
    with listener("127.0.0.1") as server:
        port = server.getsockname()[1]
        watched.rules(RULES.replace("PORT", str(port)))
        child = watched.run(
            f"s = socket.create_connection(('127.0.0.1', {port}))\n"
            f"for n in range(3): s.sendmsg([b'hello'])\n"
        )
        watched.let_go(watched.next_hold(child), child)
        assert child.end() == 0
    assert watched.holds() == []


def test_a_32_bit_send_is_held_like_any_other(watched: Watched) -> None:
    """The other set of numbers and registers is no way around."""
    after = watched.place / "after"
    with listener("127.0.0.1", socket.SOCK_DGRAM) as server:
        port = server.getsockname()[1]
        watched.rules(RULES.replace("PORT", str(port)))
        write_old_sender(watched.place / "old", port, after)
        child = watched.run([watched.place / "old"])
        held = watched.next_hold(child)
        child.wait_stopped()
        assert len(server.recv(10)) == 1
    assert not after.exists()
    assert (held.act.address, held.act.port) == ("127.0.0.1", port)
    watched.let_go(held, child)
    assert child.end() == 0
    assert after.exists()

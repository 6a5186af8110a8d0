"""A struct sockaddr as audit records it, and the protocol of a descriptor."""

import os
import socket

import pytest

from agent.audit.sockets import Peer, peer_of, transport_of
from wire.acts import Transport


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("020000097F0000010000000000000000", Peer(2, "127.0.0.1", 9)),
        (f"0A0001BB{0:08}20010db8{5:024}{0:08}", Peer(10, "2001:db8::5", 443)),
        ("01002F72756E2F7800", Peer(1, path=b"/run/x")),
        ("0100002F610062", Peer(1, path=b"@/a\0b")),
        ("0100", Peer(1)),
        ("0000", Peer(0)),
        ("0200", Peer(2, known=False)),
        ("0A0001BB", Peer(10, known=False)),
        ("", Peer(0, known=False)),
        ("11000800", Peer(17)),
    ],
)  # fmt: skip
def test_an_address_is_read(written: str, expected: Peer) -> None:
    """What is too short for its family is not known, and no address of zeros."""
    assert peer_of(bytes.fromhex(written)) == expected


@pytest.mark.parametrize(
    ("family", "kind", "expected"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, Transport.TCP),
        (socket.AF_INET6, socket.SOCK_STREAM, Transport.TCP),
        (socket.AF_INET, socket.SOCK_DGRAM, Transport.UDP),
        (socket.AF_INET6, socket.SOCK_DGRAM, Transport.UDP),
        (socket.AF_UNIX, socket.SOCK_STREAM, Transport.UNIX),
    ],
)
def test_a_socket_says_its_protocol(
    family: socket.AddressFamily, kind: socket.SocketKind, expected: Transport
) -> None:
    """The kernel names it; once it is closed nobody knows."""
    one = socket.socket(family, kind)
    assert transport_of(os.getpid(), one.fileno(), family) is expected
    number = one.fileno()
    one.close()
    if family != socket.AF_UNIX:
        assert transport_of(os.getpid(), number, family) is None
        with socket.socket(socket.AF_UNIX) as other:
            assert transport_of(os.getpid(), other.fileno(), family) is None

"""A struct sockaddr of an audit record, and which protocol a descriptor of a process speaks."""

import ipaddress
import os
import socket
import struct
from typing import NamedTuple

from wire.acts import Transport

_PROTOCOLS = {
    "TCP": Transport.TCP,
    "MPTCP": Transport.TCP,
    "UDP": Transport.UDP,
    "RAW": Transport.RAW,
}
_OF_OTHER_FAMILIES = ("UNIX", "NETLINK", "PACKET")
_NAME = "system.sockprotoname"


class Peer(NamedTuple):
    """Where a call reaches. `path` of an abstract name begins with @; `known`: it can be read."""

    family: int
    address: str = ""
    port: int = 0
    path: bytes = b""
    known: bool = True


def peer_of(raw: bytes) -> Peer:
    """Return what a struct sockaddr says, as the kernel copied it from the caller."""
    if len(raw) < 2:
        return Peer(socket.AF_UNSPEC, known=False)
    (family,) = struct.unpack_from("=H", raw)
    if family == socket.AF_INET and len(raw) >= 8:
        (port,) = struct.unpack_from(">H", raw, 2)
        return Peer(family, str(ipaddress.IPv4Address(raw[4:8])), port)
    if family == socket.AF_INET6 and len(raw) >= 24:
        (port,) = struct.unpack_from(">H", raw, 2)
        return Peer(family, str(ipaddress.IPv6Address(raw[8:24])), port)
    if family == socket.AF_UNIX:
        if raw[2:3] == b"\0":  # an abstract name may hold zeros
            return Peer(family, path=b"@" + raw[3:])
        return Peer(family, path=raw[2:].split(b"\0", 1)[0])
    return Peer(family, known=family not in (socket.AF_INET, socket.AF_INET6))


def transport_of(pid: int, descriptor: int, family: int) -> Transport | None:
    """Return how a socket of a process sends, None if it is gone or another by now.

    Asked of the kernel by the name of the socket's protocol, which it gives as an attribute.
    """
    if family == socket.AF_UNIX:
        return Transport.UNIX
    if family not in (socket.AF_INET, socket.AF_INET6):
        return Transport.RAW if family == socket.AF_PACKET else Transport.OTHER
    try:
        name = os.getxattr(f"/proc/{pid}/fd/{descriptor}", _NAME).rstrip(b"\0").decode("ascii")
    except (OSError, ValueError):
        return None
    if name.startswith(_OF_OTHER_FAMILIES):
        return None  # the number is another socket's by now
    return _PROTOCOLS.get(name.removesuffix("v6"), Transport.OTHER)

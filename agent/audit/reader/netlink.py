"""The kernel's audit state over netlink, and a message of our own into its stream of records.

Python 3.9 syntax and the standard library only: the reader and the agent both use it.
"""

import errno
import os
import socket
import struct
from typing import Dict, Tuple

_NETLINK_AUDIT = 9
_AUDIT_GET, _AUDIT_USER = 1000, 1005
_NLMSG_ERROR = 2
_REQUEST, _ACK = 1, 4
_HEAD = struct.Struct("=IHHII")
_NAMES = (
    "mask enabled failure pid rate_limit backlog_limit lost backlog features backlog_wait_time"
).split()
_WAIT_S = 5


class AuditError(OSError):
    """The kernel has no audit, or does not let this process ask."""


def status() -> Dict[str, int]:
    """Return the kernel's audit state as a dict of integers, by the names of `auditctl -s`."""
    with _socket() as channel:
        _send(channel, _AUDIT_GET, b"", _REQUEST)
        while True:
            kind, body = _receive(channel)
            if kind == _AUDIT_GET:
                # An older kernel says less.
                found = struct.unpack_from("=%dI" % min(len(body) // 4, len(_NAMES)), body)
                return {_NAMES[i]: value for i, value in enumerate(found)}


def say(text: str) -> None:
    """Put a message of type USER into the stream of records; raise AuditError if it is refused."""
    with _socket() as channel:
        _send(channel, _AUDIT_USER, text.encode() + b"\0", _REQUEST | _ACK)
        _receive(channel)


def _socket() -> socket.socket:
    try:
        channel = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_AUDIT
        )
    except OSError as error:
        raise AuditError(error.errno, "the kernel has no audit: %s" % error.strerror) from error
    channel.settimeout(_WAIT_S)
    channel.bind((0, 0))
    return channel


def _send(channel: socket.socket, kind: int, body: bytes, flags: int) -> None:
    size = _HEAD.size + len(body)
    message = _HEAD.pack(size, kind, flags, 1, 0) + body
    try:
        channel.sendto(message + bytes(-size % 4), (0, 0))
    except OSError as error:
        raise AuditError(error.errno, "the kernel refuses: %s" % error.strerror) from error


def _receive(channel: socket.socket) -> Tuple[int, bytes]:
    """Return (type, body) of the next answer; raise AuditError for an error."""
    try:
        data, (sender, _) = channel.recvfrom(65536)
    except socket.timeout as error:
        raise AuditError(errno.ETIMEDOUT, "the kernel does not answer") from error
    if sender != 0:  # only the kernel answers for the kernel
        return 0, b""
    _, kind, _, _, _ = _HEAD.unpack_from(data)
    body = data[_HEAD.size :]
    if kind == _NLMSG_ERROR:
        (code,) = struct.unpack_from("=i", body)
        if code:
            raise AuditError(-code, "the kernel refuses: " + os.strerror(-code))
    return kind, body

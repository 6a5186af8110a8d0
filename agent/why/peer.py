"""Who is at the other end of a socket: the process that connected, and its session."""

import os
import select
import socket
import struct
from collections.abc import Callable

from agent.errors import WhyError

# Linux 6.5 and later: a pidfd of exactly the process that connected.
_SO_PEERPIDFD = 77
_CREDENTIALS = struct.Struct("3i")


def session_of(peer: socket.socket, find: Callable[[int], str | None]) -> str:
    """Return the session of who connected; raise WhyError if it is none that is watched.

    `find` gives the session of a pid. The pid is that of the connecting process, as the kernel
    noted it then; what it says counts only if that process still lives after `find` has looked.
    """
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, _, _ = _CREDENTIALS.unpack(raw)
    if pid <= 0:
        raise WhyError("who asks lives in a pid namespace that this host cannot see into")
    try:
        descriptor = _pidfd(peer, pid)
    except OSError as error:
        raise WhyError("who asked is gone; stay connected until there is an answer") from error
    try:
        session = find(pid)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if poll.poll(0):
            raise WhyError("who asked is gone; stay connected until there is an answer")
    finally:
        os.close(descriptor)
    if session is None:
        raise WhyError("this process is not watched, so there is no session to speak for")
    return session


def _pidfd(peer: socket.socket, pid: int) -> int:
    try:
        return peer.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError:
        return os.pidfd_open(pid)

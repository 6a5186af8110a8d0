"""Tickets: what lets one held call of a thread through once, or has it fail; and the heartbeat."""

import struct
import time
from pathlib import Path

from agent.sensor.bpf import Map
from agent.sensor.records import IDENTITY_BYTES, identity_of, thread_of

_KEY = struct.Struct("<II")
_TICKET = struct.Struct(f"<QQ{IDENTITY_BYTES}s")
_HEARTBEAT = struct.Struct("<QQ")
_FIRST = bytes(4)
# A thread makes its call again at once, unless it has a handler of a signal to run first.
LIFE_NS = 60_000_000_000
# So long without an agent, and the kernel does by itself what rules say for that.
ALONE_NS = 30_000_000_000
_PURGE_NS = 10_000_000_000


class Tickets:
    """The maps of tickets and of the heartbeat."""

    def __init__(self, maps: Path) -> None:
        """Open the maps under `maps` (a directory of bpffs)."""
        self._tickets = Map(maps / "hf_tickets", _KEY.size, _TICKET.size)
        self._heartbeat = Map(maps / "hf_heartbeat", len(_FIRST), _HEARTBEAT.size)
        self._purged_ns = 0

    def write(self, raw: bytes, *, refuse: bool) -> None:
        """Let the act of a struct facts through, once and soon; or have it refused."""
        identity_hash, identity = identity_of(raw)
        expires = _now_ns() + LIFE_NS
        key = _KEY.pack(thread_of(raw), identity_hash)
        self._tickets.set(key, _TICKET.pack(expires, int(refuse), identity))

    def beat(self) -> None:
        """Say that an agent is there; now and then take away tickets that nobody has used."""
        now = _now_ns()
        self._heartbeat.set(_FIRST, _HEARTBEAT.pack(now, ALONE_NS))
        if now < self._purged_ns + _PURGE_NS:
            return
        self._purged_ns = now
        for key in self._tickets.all_keys():
            value = self._tickets.get(key)
            if value is not None and _TICKET.unpack(value)[0] < now:
                self._tickets.delete(key)

    def close(self) -> None:
        """Give the descriptors back."""
        self._tickets.close()
        self._heartbeat.close()


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

"""Calls that the kernel refuses again by itself for a moment, and how often it did."""

import struct
import time
from pathlib import Path

from agent.sensor.bpf import Map
from agent.sensor.records import IDENTITY_BYTES, act_fields, identity_of

_KEY = struct.Struct("<II")
_REPEAT = struct.Struct(f"<QQQ{IDENTITY_BYTES}s")


class KernelRepeats:
    """The map of them. What is in it ends by itself; only its count waits to be taken."""

    def __init__(self, maps: Path) -> None:
        """Open the map under `maps` (a directory of bpffs)."""
        self._repeats = Map(maps / "hf_repeats", _KEY.size, _REPEAT.size)

    def refuse(self, raw: bytes, until_boot_ns: int) -> bytes | None:
        """Refuse the act of a struct facts to its process until then; None if there is no room.

        Returns a name for it, which `take` uses.
        """
        fields = act_fields(raw)
        identity_hash, identity = identity_of(raw)
        key = _KEY.pack(fields.tgid, identity_hash)
        before = self._repeats.get(key)
        there = _REPEAT.unpack(before) if before is not None else None
        same = there is not None and there[0] == fields.start_ns
        count = there[2] if same and there is not None else 0
        try:
            self._repeats.set(key, _REPEAT.pack(fields.start_ns, until_boot_ns, count, identity))
        except OSError:  # full
            return None
        return key

    def take(self, *, everything: bool) -> list[tuple[bytes, int]]:
        """Take out what has ended, or everything; return how often each was refused."""
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        found = []
        for key in self._repeats.all_keys():
            raw = self._repeats.get(key)
            if raw is None:
                continue
            until = _REPEAT.unpack(raw)[1]
            if not everything and until > now:
                continue
            if until > now:
                # Ended first, so that nothing is counted behind the look.
                fields = _REPEAT.unpack(raw)
                self._repeats.set(key, _REPEAT.pack(fields[0], 0, *fields[2:]))
                raw = self._repeats.get(key) or raw
            self._repeats.delete(key)
            found.append((key, _REPEAT.unpack(raw)[2]))
        return found

    def close(self) -> None:
        """Give the descriptor back."""
        self._repeats.close()

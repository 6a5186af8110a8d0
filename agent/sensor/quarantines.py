"""Quarantines in the kernel's map, and whom the programs have stopped for one."""

import struct
from collections.abc import Collection
from pathlib import Path

from agent.release import ProcessId
from agent.sensor.bpf import Map, Ring
from agent.sensor.interface import Caught
from agent.sensor.labels import Labels

# Number of the subject: state, serial, untold.
_QUARANTINE = struct.Struct("<IIII")
_CAUGHT = struct.Struct("<QII")
_OVER, _IN_FORCE, _LIFTED = 0, 1, 2
_MAXIMUM_SUBJECTS = 256
_SERIALS = 0xFFFF


class Quarantines:
    """The map of quarantines and the ring that tells who was stopped. Both outlive the agent."""

    def __init__(self, maps: Path, labels: Labels) -> None:
        """Open them under `maps` (a directory of bpffs)."""
        self._map = Map(maps / "hf_quarantines", 4, _QUARANTINE.size)
        self._ring = Ring(maps / "hf_caught")
        self._labels = labels
        # State and serial of each subject, by its number; nobody else writes these.
        self._known = {number: self._get(number)[:2] for number in range(1, _MAXIMUM_SUBJECTS)}

    @property
    def fd(self) -> int:
        """A descriptor that is readable while somebody was stopped and not yet told."""
        return self._ring.fd

    def put(self, subjects: Collection[str]) -> None:
        """Have these subjects in quarantine, and no others."""
        wanted = {number for name in subjects for number in self._labels.numbers(name)}
        for number, (state, serial) in list(self._known.items()):
            if number in wanted and state != _IN_FORCE:
                # What is marked with another serial was stopped for a quarantine of before.
                self._set(number, _IN_FORCE, serial % _SERIALS + 1)
            elif number not in wanted and state == _IN_FORCE:
                self._set(number, _LIFTED, serial)

    def settle(self) -> None:
        """Note that whoever was stopped for a quarantine that is lifted has been taken up."""
        for number, (state, serial) in list(self._known.items()):
            if state == _LIFTED:
                self._set(number, _OVER, serial)

    def any_in_force(self) -> bool:
        """Return whether any subject is in quarantine."""
        return any(state == _IN_FORCE for state, _ in self._known.values())

    def caught(self) -> list[Caught]:
        """Return whom the kernel has stopped since the last call; some may come again."""
        found: dict[ProcessId, str] = {}
        for record in self._ring.records():
            start_ns, pid, number = _CAUGHT.unpack(record)
            found[ProcessId(pid, start_ns)] = self._labels.name(number)
        for number, (state, serial) in self._known.items():
            untold = state != _OVER and self._get(number)[2]
            if untold:
                self._set(number, state, serial)
            # Of one that is lifted, an agent may have been killed before it took up what was told.
            if untold or state == _LIFTED:
                found |= self._marked(number, serial)
        return [Caught(process, subject) for process, subject in found.items()]

    def everybody(self) -> list[Caught]:
        """Return all whom the kernel has stopped for a quarantine that is not over."""
        found: dict[ProcessId, str] = {}
        for number, (state, serial) in self._known.items():
            if state != _OVER:
                found |= self._marked(number, serial)
        return [Caught(process, subject) for process, subject in found.items()]

    def is_caught(self, process: ProcessId) -> bool:
        """Return whether the kernel has stopped a process for the quarantine in force."""
        number, mark = self._labels.mark_of(process)
        return bool(mark) and mark == self._known[number][1]

    def close(self) -> None:
        """Give the descriptors back."""
        self._map.close()
        self._ring.close()

    def _marked(self, number: int, serial: int) -> dict[ProcessId, str]:
        name = self._labels.name(number)
        return {one: name for one, mark in self._labels.marked(number) if mark == serial}

    def _get(self, number: int) -> tuple[int, int, int]:
        raw = self._map.get(struct.pack("<I", number))
        assert raw is not None  # an array has all its elements
        state, serial, untold, _ = _QUARANTINE.unpack(raw)
        return state, serial, untold

    def _set(self, number: int, state: int, serial: int) -> None:
        self._map.set(struct.pack("<I", number), _QUARANTINE.pack(state, serial, 0, 0))
        self._known[number] = state, serial

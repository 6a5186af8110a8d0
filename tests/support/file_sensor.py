"""A kernel side made of files, which outlives an agent that is killed: the held map is a directory.

The acting processes put their own entries there, as the kernel does, also while no agent runs.
"""

import json
import os
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path

from agent.release import ProcessId
from agent.sensor.interface import HeldAct, HeldKey
from tests.support.fake_sensor import FakeSensor, HeldMap
from wire.acts import Act, Guarantee, Kind, Process

_WAKE = "wake"
LABELS = "labels"
_MUCH = 1 << 16


class HeldFiles(MutableMapping[HeldKey, HeldAct]):
    """The entries: one file for each, named by its key, complete from the moment it is there."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __getitem__(self, key: HeldKey) -> HeldAct:
        try:
            return _read(key, (self._place / str(key)).read_bytes())
        except FileNotFoundError as error:
            raise KeyError(key) from error

    def __setitem__(self, key: HeldKey, value: HeldAct) -> None:
        raise NotImplementedError("entries are made by the processes that are held")

    def __delitem__(self, key: HeldKey) -> None:
        try:
            (self._place / str(key)).unlink()
        except FileNotFoundError as error:
            raise KeyError(key) from error

    def __iter__(self) -> Iterator[HeldKey]:
        # In the order in which they were made, as the kernel's map gives none away otherwise.
        found = []
        for one in self._place.iterdir():
            if one.name.isdecimal():
                with suppress(FileNotFoundError):
                    found.append((one.stat().st_mtime_ns, HeldKey(int(one.name))))
        return iter([key for _, key in sorted(found)])

    def __len__(self) -> int:
        return sum(1 for _ in self)


class FileSensor(FakeSensor):
    """The agent's end of such a kernel side."""

    def __init__(self, place: Path) -> None:
        held = HeldMap()
        held.entries = HeldFiles(place)
        super().__init__(held)
        self._place = place
        # Open for both, so that it is neither at its end nor refuses to be opened.
        self._wake = os.open(place / _WAKE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def holds_fd(self) -> int:
        """Return what an acting process writes to when it has made its entry."""
        return self._wake

    def new_holds(self) -> list[HeldAct]:
        """Return entries that were not returned before."""
        with suppress(BlockingIOError):
            os.read(self._wake, _MUCH)
        return super().new_holds()

    def labelled(self, subject: str) -> list[ProcessId]:
        """Return whom the file of labels names, whatever the subject; a line each."""
        with suppress(FileNotFoundError):
            lines = (self._place / LABELS).read_text(encoding="ascii").splitlines()
            return [ProcessId(*map(int, line.split())) for line in lines]
        return []

    def close(self) -> None:
        """Close the descriptors."""
        super().close()
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1


def make_held_files(place: Path) -> None:
    """Make an empty held map."""
    place.mkdir(parents=True)
    os.mkfifo(place / _WAKE)


def _read(key: HeldKey, data: bytes) -> HeldAct:
    said = json.loads(data)
    process = Process(pid=said["pid"], start_ns=said["start_ns"], comm="actor", uid=0)
    act = Act(
        kind=Kind.OPEN,
        guarantee=Guarantee.STOPPED,
        time_ns=said["time_ns"],
        boot_ns=said["boot_ns"],
        subject="ai-worker",
        session=f"{process.pid}-{process.start_ns}",
        process=process,
        tid=process.pid,
        gid=0,
        executable="/usr/bin/python3",
        path=said["path"],
        device=1,
        inode=77,
        flags=("read",),
    )
    return HeldAct(key=key, act=act)

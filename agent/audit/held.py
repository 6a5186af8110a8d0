"""What is held, in files that outlive the agent and not the boot: what a kernel map is elsewhere.

The entry is there before the process is stopped, so no crash leaves one stopped that nobody knows
of. Its name says whose it is, for a version that cannot read what another has written.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from agent.errors import SensorError
from agent.release import ProcessId
from agent.sensor.interface import HeldAct, HeldKey
from wire.acts import Act, Guarantee, Kind, Process


class HeldFiles:
    """Entries under one directory, each a file named KEY-PID-START."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._last = 0

    def unused(self) -> HeldKey:
        """Return a key that no entry has or will have."""
        # From the clock since boot, so that no key comes twice, whichever agent gives it.
        self._last = max(self._last + 1, time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        return HeldKey(self._last)

    def open(self, act: Act) -> HeldKey:
        """Make an entry for an act whose process is about to be stopped; raise SensorError."""
        key = self.unused()
        self.write(key, act)
        return key

    def write(self, key: HeldKey, act: Act) -> None:
        """Put an act into its entry, in one step; raise SensorError, and nothing has changed."""
        path = self._directory / f"{key}-{ProcessId.of(act.process)}"
        part = path.with_name(f".{path.name}")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.write_bytes(msgspec.msgpack.encode(act))
            part.rename(path)
        except OSError as error:
            raise SensorError(f"{path}: cannot be written: {error}") from error

    def all(self) -> list[HeldAct]:
        """Return every entry, the oldest first."""
        return sorted(
            (self._read(path, *name) for path, name in self._entries()), key=lambda one: one.key
        )

    def forget(self, key: HeldKey) -> None:
        """Take an entry away."""
        for path, (found, _) in list(self._entries()):
            if found == key:
                with suppress(FileNotFoundError):
                    path.unlink()

    def clear(self) -> None:
        """Take all of it away."""
        for path, _ in list(self._entries()):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self._directory.rmdir()

    def _entries(self) -> Iterator[tuple[Path, tuple[HeldKey, ProcessId]]]:
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return
        for name in names:
            parts = name.split("-")
            if len(parts) == 3 and all(part.isdecimal() for part in parts):
                key, pid, start = map(int, parts)
                yield self._directory / name, (HeldKey(key), ProcessId(pid, start))

    def _read(self, path: Path, key: HeldKey, process: ProcessId) -> HeldAct:
        try:
            act = msgspec.msgpack.decode(path.read_bytes(), type=Act)
        except (OSError, msgspec.MsgspecError) as error:
            return HeldAct(key=key, act=_act_unread(key, process), unread=f"{path}: {error}")
        return HeldAct(key=key, act=act)


def _act_unread(key: HeldKey, process: ProcessId) -> Act:
    """Return what is certain: whose it is. All else is cut, so that no rule lets it pass."""
    return Act(
        kind=Kind.EXEC,
        guarantee=Guarantee.LATE,
        time_ns=0,
        boot_ns=key,
        subject="",
        session=str(process),
        process=Process(pid=process.pid, start_ns=process.start_ns, comm="", uid=0),
        tid=process.pid,
        gid=0,
        executable="",
        argv_cut=True,
        path_cut=True,
        path_resolved=False,
    )

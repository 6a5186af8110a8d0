"""Frozen cgroups for held processes: SIGCONT, a tracer and an orphaned group run nothing in them.

Each held process gets a cgroup (v2) of its own below the one that it is in, so that limits and
units go on counting it; where a user may move processes about, below the next one that only root
may write to. The cgroup itself remembers where its process belongs, so a restarted agent knows.
"""

import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent import procfs
from agent.errors import ControlError
from agent.release import ProcessId

log = logging.getLogger("holdfast.agent.freezer")

_ORIGIN = "trusted.holdfast.origin"
_LARGEST = 4096


@dataclass(frozen=True, slots=True)
class _Cell:
    """The cgroup of one held process, and the one that it came from, as /proc/PID/cgroup says."""

    place: Path
    origin: str


class Freezer:
    """Freezes and thaws processes. One without a cgroup v2 does nothing and says so once."""

    def __init__(self, mount: Path | None, name: str) -> None:
        """`mount` is where cgroup v2 is mounted; what is made there begins with `name`-held-."""
        self._mount = mount
        self._prefix = f"{name}-held-"
        self._cells: dict[ProcessId, _Cell] = {}
        self._left: list[Path] = []  # could not be taken away yet

    @property
    def available(self) -> bool:
        """Whether there is a cgroup v2 to freeze in."""
        return self._mount is not None

    def freeze(self, process: ProcessId) -> bool:
        """Freeze a living process; return whether it is on its way to be frozen.

        Raises ControlError naming what stands in the way. The process stays as it was then.
        """
        if self._mount is None:
            return False
        known = self._cell(process)
        if known is not None:
            with suppress(OSError):  # the cell is gone, with root's doing: another is made
                _write(known.place / "cgroup.procs", str(process.pid))
                return True
            self._cells.pop(process, None)
        origin = procfs.cgroup(process.pid)
        if origin is None:
            return False
        cell = _Cell(self._parent(origin) / self._name(process), origin)
        try:
            with suppress(FileExistsError):  # of a run that was cut off before it moved anybody
                cell.place.mkdir(mode=0o755)
            os.setxattr(cell.place, _ORIGIN, os.fsencode(origin))
            _write(cell.place / "cgroup.freeze", "1")
            _write(cell.place / "cgroup.procs", str(process.pid))
        except ProcessLookupError:
            self._remove(cell)
            return False
        except OSError as error:
            self._remove(cell)
            raise ControlError(
                f"process {process}: cannot be frozen in {cell.place}: {error.strerror}; it is "
                "stopped, and whoever may signal it can let it run on"
            ) from error
        self._cells[process] = cell
        return True

    def is_frozen(self, process: ProcessId) -> bool:
        """Return whether every thread of the process is frozen; then none runs or will."""
        cell = self._cell(process)
        if cell is None:
            return False
        try:
            events = (cell.place / "cgroup.events").read_text(encoding="ascii").split()
        except OSError:
            return False
        return events[events.index("frozen") + 1] == "1"

    def thaw(self, process: ProcessId) -> None:
        """Put a process back where it came from; nothing happens if it is not frozen by us.

        Raises ControlError; then it stays frozen.
        """
        cell = self._cell(process)
        if cell is None:
            return
        target = self._existing(cell.origin)
        try:
            _write(target / "cgroup.procs", str(process.pid))
        except ProcessLookupError:
            pass
        except OSError as error:
            raise ControlError(
                f"process {process}: cannot be moved back to {target}: {error.strerror}; it stays "
                f"frozen in {cell.place}"
            ) from error
        self.drop(process)

    def drop(self, process: ProcessId) -> None:
        """Forget a process that is thawed or gone, and take its cgroup away."""
        cell = self._cells.pop(process, None)
        if cell is not None:
            self._remove(cell)

    def sweep(self) -> None:
        """Take away what is left of ours and empty: of processes that ended while nobody looked."""
        if self._mount is None:
            return
        for directory, names, _ in os.walk(self._mount, topdown=False):
            for name in names:
                if name.startswith(self._prefix):
                    with suppress(OSError):  # somebody is in it
                        os.rmdir(os.path.join(directory, name))

    def _cell(self, process: ProcessId) -> _Cell | None:
        """Return the cell of a process, also one that an earlier agent has made."""
        known = self._cells.get(process)
        if known is not None or self._mount is None:
            return known
        path = procfs.cgroup(process.pid)
        if path is None or path.rpartition("/")[2] != self._name(process):
            return None
        place = self._mount / path.lstrip("/")
        try:
            origin = os.fsdecode(os.getxattr(place, _ORIGIN))
        except OSError:
            origin = path.rpartition("/")[0]
        self._cells[process] = _Cell(place, origin)
        return self._cells[process]

    def _name(self, process: ProcessId) -> str:
        """Return the name of a process's cell, which anybody can tell who reads /proc."""
        return f"{self._prefix}{process.pid}-{process.start_ns // procfs.TICK_NS}"

    def _parent(self, origin: str) -> Path:
        """Return the directory to make a cell in: the nearest that only root may take out of."""
        assert self._mount is not None
        place = self._existing(origin)
        while place != self._mount and (place / "cgroup.procs").stat().st_uid != 0:
            place = place.parent
        return place

    def _existing(self, cgroup: str) -> Path:
        """Return the directory of a cgroup, or of the nearest above it that is still there."""
        assert self._mount is not None
        place = self._mount / cgroup.lstrip("/")
        while place != self._mount and not (place / "cgroup.procs").exists():
            place = place.parent
        return place

    def _remove(self, cell: _Cell) -> None:
        self._left = [place for place in (*self._left, cell.place) if not _removed(place)]


def _removed(place: Path) -> bool:
    """Take a cgroup away; return False while its last thread is on its way out."""
    try:
        place.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        log.debug("%s: stays for now: %s", place, error.strerror)
        return False
    return True


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)

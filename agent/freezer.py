"""Frozen cgroups for held processes: SIGCONT, a tracer and an orphaned group run nothing in them.

Each held process gets a cgroup (v2) of its own below the one that it is in, so that limits and
units go on counting it; where a user may move processes about, below the next one that only root
may write to. The cgroup itself remembers where its process belongs, so a restarted agent knows.
"""

import logging
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent import procfs
from agent.errors import ControlError
from agent.release import ProcessId

log = logging.getLogger("holdfast.agent.freezer")

_ORIGIN = "trusted.holdfast.origin"


@dataclass(slots=True)
class _Cell:
    """The cgroup of one held process, and the one that it came from, as /proc/PID/cgroup says.

    `inside`: the process is in it. An empty cgroup is called frozen too. `wanted`: until it is
    to run on.
    """

    place: Path
    origin: str
    inside: bool = False
    wanted: bool = True


Job = Callable[[], None]


def at_once(job: Job) -> None:
    """Do a job here and now."""
    job()


class Freezer:
    """Freezes and thaws processes. Without a cgroup v2 it does nothing.

    To move a process from one cgroup to another the kernel waits for all its processors, which
    takes some ten milliseconds. So moves are jobs for `run`, which does one after another
    elsewhere; what freezes and thaws is a cgroup's own switch, and takes effect at once.
    """

    def __init__(self, mount: Path | None, name: str, run: Callable[[Job], None] = at_once) -> None:
        """`mount` is where cgroup v2 is mounted; what is made there begins with `name`-held-."""
        self._mount = mount
        self._prefix = f"{name}-held-"
        self._run = run
        self._cells: dict[ProcessId, _Cell] = {}
        self._left: list[Path] = []  # could not be taken away yet
        self.on_failure: Callable[[str], None] = log.warning

    def freeze(self, process: ProcessId) -> bool:
        """Have a living process frozen; return whether it is on its way.

        Raises ControlError naming what stands in the way; what comes of the move goes to
        `on_failure`. The process stays as it was then.
        """
        if self._mount is None:
            return False
        cell = self._cell(process)
        try:
            if cell is None or not cell.place.exists():  # or root has taken it away
                inside = procfs.cgroup(process.pid)
                if inside is None:
                    return False
                origin = self._outside(inside)
                cell = _Cell(self._parent(origin) / self._new_name(process), origin)
            _make(cell)
        except OSError as error:
            place = cell.place if cell else self._mount
            raise ControlError(_why_not(process, place, error)) from error
        self._cells[process] = cell
        if not cell.inside:
            self._run(partial(self._move_in, process, cell))
        return True

    def is_frozen(self, process: ProcessId) -> bool:
        """Return whether every thread of the process is frozen; then none runs or will."""
        cell = self._cell(process)
        if cell is None or not cell.inside:
            return False
        try:
            events = (cell.place / "cgroup.events").read_text(encoding="ascii").split()
        except OSError:
            return False
        return events[events.index("frozen") + 1] == "1"

    def thaw(self, process: ProcessId) -> None:
        """Let a process run, and have it put back where it came from; nothing if it is not ours.

        Raises ControlError; then it stays frozen.
        """
        cell = self._cell(process)
        if cell is None:
            return
        cell.wanted = False
        try:
            _write(cell.place / "cgroup.freeze", "0")
        except FileNotFoundError:
            pass
        except OSError as error:
            cell.wanted = True
            raise ControlError(
                f"process {process}: cannot be thawed: {error.strerror}; it stays frozen in "
                f"{cell.place}"
            ) from error
        self._cells.pop(process, None)
        # Behind its move into the cell, should that still be to come.
        self._run(partial(self._move_out, cell.place, cell.origin))

    def drop(self, process: ProcessId) -> None:
        """Forget a process that is gone, and take its cgroup away."""
        cell = self._cells.pop(process, None)
        if cell is not None:
            self._run(partial(self._remove, cell.place))

    def sweep(self) -> None:
        """Finish what a run before has left: empty cells, and what was thawed and not put back."""
        if self._mount is None:
            return
        for directory, names, _ in os.walk(self._mount, topdown=False):
            for name in names:
                if name.startswith(self._prefix):
                    self._run(partial(self._tidy, Path(directory, name)))

    # -- jobs ---------------------------------------------------------------------------------

    def _move_in(self, process: ProcessId, cell: _Cell) -> None:
        found = procfs.stat(process.pid)
        if found is None or found.start_ticks != process.start_ns // procfs.TICK_NS:
            return  # it has ended, and its number may be another's by now
        try:
            if not cell.place.exists():  # the sweep of the start took it for one that is left
                _make(cell)
            _write(cell.place / "cgroup.procs", str(process.pid))
            cell.inside = True
        except ProcessLookupError:
            pass
        except OSError as error:
            self.on_failure(_why_not(process, cell.place, error))

    def _move_out(self, place: Path, origin: str) -> None:
        """Put everybody back: what the process has forked since it was thawed is in there too."""
        target = self._existing(origin)
        with suppress(FileNotFoundError):
            while pids := (place / "cgroup.procs").read_text(encoding="ascii").split():
                moved = [self._moved_out(pid, place, target) for pid in pids]
                if not any(moved):
                    break
        self._remove(place)

    def _moved_out(self, pid: str, place: Path, target: Path) -> bool:
        try:
            _write(target / "cgroup.procs", pid)
        except ProcessLookupError:
            return False  # it has ended
        except OSError as error:
            self.on_failure(
                f"process {pid}: runs, and cannot be moved from {place} back to {target}: "
                f"{error.strerror}"
            )
            return False
        return True

    def _tidy(self, place: Path) -> None:
        with suppress(OSError):  # somebody else was quicker
            if not _is_shut(place):
                self._move_out(place, _origin_of(place, self._mount))
        self._remove(place)

    def _remove(self, place: Path) -> None:
        self._left = [one for one in (*self._left, place) if not _removed(one)]

    # -- where things are ---------------------------------------------------------------------

    def _cell(self, process: ProcessId) -> _Cell | None:
        """Return the cell of a process, also one that an earlier agent has made."""
        known = self._cells.get(process)
        if known is not None or self._mount is None:
            return known
        path = procfs.cgroup(process.pid)
        if path is None or not path.rpartition("/")[2].startswith(self._name(process)):
            return None
        place = self._mount / path.lstrip("/")
        if not _is_shut(place):  # thawed, and not put back yet: whoever is in it runs
            return None
        self._cells[process] = _Cell(place, _origin_of(place, self._mount), inside=True)
        return self._cells[process]

    def _name(self, process: ProcessId) -> str:
        """Return how the name of a process's cell begins, which shows whose it is."""
        return f"{self._prefix}{process.pid}-{process.start_ns // procfs.TICK_NS}-"

    def _new_name(self, process: ProcessId) -> str:
        """Return a name for a cell. Its last one may still be there, with children that run."""
        return self._name(process) + secrets.token_hex(4)

    def _outside(self, cgroup: str) -> str:
        """Return where a process belongs: one that was just forked may be in its parent's cell."""
        assert self._mount is not None
        while cgroup.rpartition("/")[2].startswith(self._prefix):
            cgroup = _origin_of(self._mount / cgroup.lstrip("/"), self._mount)
        return cgroup

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


def _make(cell: _Cell) -> None:
    """Make a cell that freezes whoever comes in, unless it is not wanted by then."""
    with suppress(FileExistsError):
        cell.place.mkdir(mode=0o755)
    os.setxattr(cell.place, _ORIGIN, os.fsencode(cell.origin))
    _write(cell.place / "cgroup.freeze", "1")
    if not cell.wanted:
        _write(cell.place / "cgroup.freeze", "0")


def _is_shut(place: Path) -> bool:
    """Return whether a cell is to freeze who is in it; one that is gone is not."""
    try:
        return (place / "cgroup.freeze").read_text(encoding="ascii").strip() == "1"
    except FileNotFoundError:
        return False


def _origin_of(place: Path, mount: Path | None) -> str:
    """Return where the process of a cell belongs: what the cell remembers, else the one above."""
    try:
        return os.fsdecode(os.getxattr(place, _ORIGIN))
    except OSError:
        return str(place.parent.relative_to(mount or place.parent))


def _why_not(process: ProcessId, place: Path, error: OSError) -> str:
    return (
        f"process {process}: cannot be frozen in {place}: {error.strerror}; it is stopped, and "
        "whoever may signal it can let it run on"
    )


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

"""What a run has made, on disk before it is made, so that a later run can undo it."""

import contextlib
import fcntl
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deploy.bootstrap.errors import BusyError
from deploy.tryout import processes
from deploy.tryout.places import COMMAND, RECORD, ROOM


@dataclass(slots=True)
class Record:
    """Everything outside the room that a run has made or may be about to make."""

    boot: str = ""
    mounted: bool = False
    # name, pid and start time of each process, in the order of their start
    processes: list[tuple[str, int, int]] = field(default_factory=list)

    def add_process(self, name: str, pid: int) -> None:
        """Remember a process that was just started; it is ours and cannot have been reaped."""
        seen = processes.look(pid)
        if seen is not None:
            self.processes.append((name, pid, seen.start))
        self.save()

    def save(self) -> None:
        """Write the record, whole or not at all."""
        scratch = RECORD.with_suffix(".new")
        scratch.write_text(json.dumps(asdict(self)), encoding="utf-8")
        os.replace(scratch, RECORD)


def boot_id() -> str:
    """Name this boot of the machine: pids of another one mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def load() -> Record | None:
    """Return the record that a run has left in the room, None if there is none to read."""
    try:
        raw = json.loads(RECORD.read_text(encoding="utf-8"))
        return Record(
            boot=str(raw["boot"]),
            mounted=bool(raw["mounted"]),
            processes=[(str(name), int(pid), int(start)) for name, pid, start in raw["processes"]],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def enter() -> int:
    """Make the room and lock it; return the descriptor that holds the lock.

    Raise BusyError if another run is in it. The lock ends with the last process that has the
    descriptor, so a run is over when its keeper is, not before.
    """
    while True:
        with contextlib.suppress(FileExistsError):
            ROOM.mkdir(mode=0o700)
        try:
            descriptor = os.open(ROOM, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # the other run has just left
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise BusyError(
                f"{COMMAND}: another try-out is running on this machine; "
                "let it end, or end it with Ctrl-C in its terminal"
            ) from None
        if _is(descriptor, ROOM):
            return descriptor
        os.close(descriptor)


def leave() -> None:
    """Remove the room and all that is in it."""
    shutil.rmtree(ROOM)


def _is(descriptor: int, path: Path) -> bool:
    """Whether the descriptor's directory is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False

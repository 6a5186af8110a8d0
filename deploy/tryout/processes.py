"""What /proc says of a process, and ending those that the try-out itself has started.

A process is named by pid and start time; a signal goes through a pidfd taken before the check.
"""

import os
import select
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at a process. `start` is in clock ticks since boot, `ran_ns` its time on a CPU."""

    pid: int
    start: int
    state: str
    parent: int
    uid: int
    ran_ns: int

    @property
    def stopped(self) -> bool:
        """Whether a signal has stopped it, or it was frozen before the signal reached it."""
        return self.state == "T" or _is_frozen(self.pid)


def look(pid: int) -> Seen | None:
    """Return what the kernel says of a process now, None if there is none."""
    place = Path("/proc") / str(pid)
    try:
        # The name is in parentheses and may itself hold anything, parentheses too.
        fields = (place / "stat").read_text(errors="replace").rpartition(")")[2].split()
        ran = (place / "schedstat").read_text().split()[0]
        uid = _uid((place / "status").read_text(errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Seen(pid, int(fields[19]), fields[0], int(fields[1]), uid, int(ran))


def _is_frozen(pid: int) -> bool:
    """Return whether the agent's cgroup for a held process has all of it frozen."""
    try:
        lines = (Path("/proc") / str(pid) / "cgroup").read_text(errors="replace").splitlines()
        cell = next(line[3:] for line in lines if line.startswith("0::"))
        if "-held-" not in cell:
            return False
        events = [Path(f"{mount}{cell}/cgroup.events") for mount in cgroup_mounts()]
        return any("frozen 1" in path.read_text() for path in events if path.exists())
    except (OSError, StopIteration):
        return False


def cgroup_mounts() -> list[str]:
    """Return where cgroup v2 is mounted."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return [line.split()[1] for line in lines if line.split()[2] == "cgroup2"]


def _uid(status: str) -> int:
    """Return the real user; the owner of /proc/PID is root's for what may not be dumped."""
    line = next(line for line in status.splitlines() if line.startswith("Uid:"))
    return int(line.split()[1])


def everyone() -> Iterator[Seen]:
    """Yield every process there is."""
    for name in os.listdir("/proc"):
        if name.isdigit() and (seen := look(int(name))) is not None:
            yield seen


def descendants(pid: int) -> list[Seen]:
    """Return the children of a process, their children and so on, nearest first."""
    children: dict[int, list[Seen]] = {}
    for seen in everyone():
        children.setdefault(seen.parent, []).append(seen)
    found: list[Seen] = []
    queue = [pid]
    while queue:
        below = children.get(queue.pop(0), [])
        found += below
        queue += [seen.pid for seen in below]
    return found


def end(pid: int, number: signal.Signals, start: int) -> bool:
    """Send a signal to the process that has this start time; return whether it is gone.

    Waits for its end, at most ten seconds, and takes its exit status if it is our child.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        seen = look(pid)
        if seen is None or seen.start != start:
            return True
        if seen.state != "Z":
            signal.pidfd_send_signal(descriptor, number)
        gone = bool(select.select([descriptor], [], [], _WAIT_S)[0])
    except ProcessLookupError:
        return True
    finally:
        os.close(descriptor)
    if gone:
        _reap(pid)
    return gone


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # somebody else's child, or already taken


def kill_all(which: Callable[[], list[Seen]]) -> None:
    """Kill what `which` returns until it returns nothing; a stopped process dies of it too."""
    for _ in range(100):
        found = which()
        if not found:
            return
        for process in found:
            end(process.pid, signal.SIGKILL, process.start)

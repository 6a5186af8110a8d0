"""What /proc says of a process: start time, parent, owner, whether it is stopped. Read only."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
# /proc gives the start time in ticks, cut off; the kernel's own is in nanoseconds.
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stat:
    """A few fields of /proc/PID/stat. `start_ticks` counts clock ticks since boot.

    `threads` is how many the whole process has, a leader that has exited included.
    """

    pid: int
    state: str
    parent: int
    start_ticks: int
    threads: int


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a process is. `uids` has real, effective, saved and login ids; `gids` all groups.

    `cgroup` is the path under the cgroup v2 mount, empty without one.
    """

    uids: frozenset[int]
    gids: frozenset[int]
    cgroup: str


def stat(pid: int) -> Stat | None:
    """Return what is known of a process, None if there is none."""
    return _read(_PROC / str(pid) / "stat", pid)


def threads(pid: int) -> Iterator[Stat]:
    """Yield every thread of a process that is still there."""
    try:
        names = os.listdir(_PROC / str(pid) / "task")
    except OSError:
        return
    for name in names:
        found = _read(_PROC / str(pid) / "task" / name / "stat", int(name))
        if found is not None:
            yield found


def everyone() -> Iterator[Stat]:
    """Yield every process on the host."""
    for name in os.listdir(_PROC):
        if name.isdecimal():
            found = stat(int(name))
            if found is not None:
                yield found


def owner(pid: int) -> Owner | None:
    """Return whose a process is, None if it is gone or that cannot be read."""
    place = _PROC / str(pid)
    try:
        status = (place / "status").read_text(encoding="utf-8", errors="replace")
        cgroups = (place / "cgroup").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    # Parted at the line feed only: the name in the first line may hold other separators.
    fields = dict(line.partition(":")[::2] for line in status.split("\n"))
    uids = [int(word) for word in fields["Uid"].split()]
    gids = [int(word) for word in (fields["Gid"] + fields["Groups"]).split()]
    with suppress(OSError):  # a kernel without audit has none
        uids.append(int((place / "loginuid").read_text(encoding="ascii")))
    found = (line.removeprefix("0::") for line in cgroups.split("\n") if line.startswith("0::"))
    return Owner(frozenset(uids), frozenset(gids), next(found, ""))


def cgroup(pid: int) -> str | None:
    """Return the cgroup v2 of a process as a path below the mount; None if it has none."""
    try:
        raw = (_PROC / str(pid) / "cgroup").read_bytes()
    except OSError:
        return None
    found = (line[3:] for line in raw.split(b"\n") if line.startswith(b"0::"))
    path = next(found, None)
    return None if path is None else os.fsdecode(path)


def login_name(pid: int) -> str:
    """Return who logged in to start a process (the audit login id), empty for a service."""
    import pwd

    try:
        uid = int((_PROC / str(pid) / "loginuid").read_text(encoding="ascii"))
        return pwd.getpwuid(uid).pw_name
    except (OSError, ValueError, KeyError):
        return ""


def _read(path: Path, pid: int) -> Stat | None:
    try:
        text = path.read_bytes()
    except OSError:  # ESRCH too: it went away between open and read
        return None
    # The name in parentheses may itself hold spaces and parentheses.
    fields = text[text.rindex(b")") + 2 :].split()
    return Stat(pid, fields[0].decode(), int(fields[1]), int(fields[19]), int(fields[17]))

"""Looks at the program of a held process: its file as it is now, and whether that is a wrapper.

A wrapper is known by its name, and under any other name by its file or by its contents.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from agent import procfs
from agent.release import ProcessId
from wire.acts import Act, Kind
from wire.grantable import why_never
from wire.orders import FileState
from wire.wrappers import never_granted

_PLACES = tuple(
    Path(place)
    for place in (
        "/bin /usr/bin /usr/local/bin /sbin /usr/sbin /usr/local/sbin /lib64 /lib /usr/lib64 "
        "/lib/x86_64-linux-gnu /lib/aarch64-linux-gnu"
    ).split()
)


@dataclass(frozen=True, slots=True)
class Program:
    """The program of a held exec, None for another act; `why_not`: why no grant may cover it."""

    state: FileState | None
    why_not: str = ""


class Programs:
    """Knows the wrappers of this host. `places` are the directories that they are looked for in."""

    def __init__(self, places: Sequence[Path] = _PLACES) -> None:
        self._places = tuple(places)
        self._seen: tuple[int, ...] | None = None
        self._wrappers: dict[tuple[int, int], str] = {}
        self._by_size: dict[int, list[Path]] = {}

    def look(self, act: Act) -> Program:
        """Return what a grant for a held act needs to know; the process must be stopped."""
        never = why_never(act)
        if act.kind is not Kind.EXEC:
            return Program(None, never or "")
        process = ProcessId.of(act.process)
        exe = f"/proc/{process.pid}/exe"
        try:
            state, name = state_of(exe), os.readlink(exe)
            named = state_of(_seen_by(process.pid, act.filename))
            why_not = never or self._is_wrapper(Path(exe), state, name)
        except OSError as error:
            return Program(None, f"its program cannot be looked at: {error.strerror}")
        found = procfs.stat(process.pid)
        # Compared afterwards: a pid is not given twice while its owner lives.
        if found is None or found.start_ticks != process.start_ns // procfs.TICK_NS:
            return Program(None, "its process is gone")
        if not why_not and (named.device, named.inode) != (state.device, state.inode):
            why_not = f"it is a script, and {name} runs whatever it says"
        return Program(state, why_not or "")

    def _is_wrapper(self, exe: Path, state: FileState, name: str) -> str | None:
        if (reason := never_granted(name)) is not None:
            return f"{name.rpartition('/')[2]}: {reason}"
        self._look_around()
        known = self._wrappers.get((state.device, state.inode))
        if known is None:
            known = next(
                (
                    str(path)
                    for path in self._by_size.get(state.size, ())
                    if _digest(path, state_of(path)) == _digest(exe, state)
                ),
                None,
            )
        return None if known is None else f"it is {known}: {never_granted(known)}"

    def _look_around(self) -> None:
        """Find the wrappers again if anything has been added to or taken from the directories."""
        seen = tuple(_changed_ns(place) for place in self._places)
        if seen == self._seen:
            return
        self._wrappers.clear()
        self._by_size.clear()
        for path in self._candidates():
            try:
                state = state_of(path)
            except OSError:  # a link that leads nowhere
                continue
            self._wrappers[state.device, state.inode] = str(path)
            if path not in (same := self._by_size.setdefault(state.size, [])):
                same.append(path)
        self._seen = seen

    def _candidates(self) -> Iterator[Path]:
        for place in self._places:
            try:
                names = os.listdir(place)
            except OSError:  # not there on this distribution
                continue
            yield from (place / name for name in names if never_granted(name) is not None)


def state_of(path: str | Path) -> FileState:
    """Return a file as it is now, links followed; raise OSError."""
    found = os.stat(path)
    return FileState(
        device=found.st_dev,
        inode=found.st_ino,
        size=found.st_size,
        changed_ns=found.st_ctime_ns,
    )


def _seen_by(pid: int, name: str) -> str:
    """Return a path by which we find what a process has named."""
    return f"/proc/{pid}/root{name}" if name.startswith("/") else f"/proc/{pid}/cwd/{name}"


def _changed_ns(place: Path) -> int:
    try:
        return place.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=256)
def _digest(path: Path, state: FileState) -> str:
    """Return the digest of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

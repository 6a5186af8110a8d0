"""Who belongs to a watched subject: labels by user, login user, group and parent, kept here.

No program in the kernel labels forks in this mode. A process is labelled when it is first seen at
an act, with its parent's label if that is known or alive to be asked, so a label is missed by who
has no audited call, and by orphans whose parent was never seen.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from agent import procfs
from agent.release import ProcessId
from agent.sensor.interface import Subject
from wire.acts import Process

_MOST = 8192
_ANCESTORS = 12
_ARGUMENT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Label:
    """Whose a process is: the subject, and the first process of its session."""

    subject: str
    root: ProcessId

    @property
    def session(self) -> str:
        """The session, as acts name it."""
        return str(self.root)


class Family:
    """The labels of this host. `but` are never labelled: the agent and what works for it."""

    def __init__(self, subjects: Sequence[Subject], but: Collection[int]) -> None:
        self._subjects = tuple(subjects)
        self.but = set(but)
        self._labels: dict[tuple[int, int], Label] = {}  # by pid and clock tick

    def label(self, process: ProcessId, ids: Collection[int], gids: Collection[int]) -> Label:
        """Return the label of a process whose act was reported, with the ids of that report.

        It does belong to a subject, since the rules report no others; the ids say to which.
        """
        known = self._labels.get(process.tick)
        if known is None:
            own = procfs.stat(process.pid)
            above = self._nearest(_chain(own, procfs.stat), procfs.owner) if own else None
            known = above or Label(self._by(ids, gids) or self._subjects[0].name, process)
            self._remember(process, known)
        return known

    def label_of_gone(
        self, pid: int, parent: int, ids: Collection[int], gids: Collection[int]
    ) -> Label:
        """Return the label of a process that has ended, by its parent if that is still there."""
        above = self.of(parent)
        return above or Label(self._by(ids, gids) or self._subjects[0].name, ProcessId(pid, 0))

    def of(self, pid: int) -> Label | None:
        """Return the label of a process that lives, None if it belongs to nobody."""
        own = procfs.stat(pid)
        if own is None or pid in self.but:
            return None
        return self._nearest((own, *_chain(own, procfs.stat)), procfs.owner)

    def members(self, subject: str) -> list[ProcessId]:
        """Return everybody of a subject who is there now, with all that descends from them."""
        everyone = {one.pid: one for one in procfs.everyone() if one.state not in "ZX"}
        owner = cache(procfs.owner)
        found = []
        for stat in everyone.values():
            if stat.pid in self.but:
                continue
            label = self._nearest((stat, *_chain(stat, everyone.get)), owner)
            if label is not None and label.subject == subject:
                found.append(_id(stat))
        return found

    def running(self) -> Iterator[ProcessId]:
        """Yield who belongs to any subject now."""
        for one in self._subjects:
            yield from self.members(one.name)

    def ancestors(self, process: ProcessId, session: str) -> tuple[Process, ...]:
        """Return what is above a process, parent first; arguments of those of its session."""
        found: list[Process] = []
        inside = 0
        own = procfs.stat(process.pid)
        for stat in _chain(own, procfs.stat) if own else ():
            one = _process(stat)
            found.append(one)
            if str(_id(stat)) == session:
                inside = len(found)
            if len(found) == _ANCESTORS:
                break
        return tuple(
            replace(one, argv=arguments_of(ProcessId.of(one))) if number < inside else one
            for number, one in enumerate(found)
        )

    def _nearest(
        self, line: Iterable[procfs.Stat], owner: Callable[[int], procfs.Owner | None]
    ) -> Label | None:
        """Return the label of the first of a line that has one, or of the last that matches."""
        highest: Label | None = None
        for stat in line:
            one = _id(stat)
            known = self._labels.get(one.tick)
            if known is not None:
                return known
            if stat.pid in self.but:
                break
            whose = owner(stat.pid)
            name = self._by(whose.uids, whose.gids) if whose else ""
            if name:
                highest = Label(name, one)
        return highest

    def _by(self, uids: Collection[int], gids: Collection[int]) -> str:
        for one in self._subjects:
            if not set(one.uids).isdisjoint(uids) or not set(one.gids).isdisjoint(gids):
                return one.name
        return ""

    def _remember(self, process: ProcessId, label: Label) -> None:
        if len(self._labels) >= _MOST:
            there = {_id(one).tick for one in procfs.everyone()}
            self._labels = {key: value for key, value in self._labels.items() if key in there}
        self._labels[process.tick] = label


def _chain(of: procfs.Stat, stat_of: Callable[[int], procfs.Stat | None]) -> Iterator[procfs.Stat]:
    """Yield what is above a process, parent first, without init."""
    at: procfs.Stat | None = of
    while at is not None and at.parent > 1:
        at = stat_of(at.parent)
        if at is not None:
            yield at


def _id(stat: procfs.Stat) -> ProcessId:
    return ProcessId(stat.pid, stat.start_ticks * procfs.TICK_NS)


def _process(stat: procfs.Stat) -> Process:
    place = Path("/proc", str(stat.pid))
    try:
        comm = (place / "comm").read_bytes().rstrip(b"\n").decode("utf-8", "backslashreplace")
        uid = place.stat().st_uid
    except OSError:
        comm, uid = "", 0
    return Process(pid=stat.pid, start_ns=_id(stat).start_ns, comm=comm, uid=uid)


def arguments_of(process: ProcessId) -> tuple[str, ...]:
    """Return the arguments of a process as they are now, none if it is gone."""
    try:
        data = Path("/proc", str(process.pid), "cmdline").read_bytes()
    except OSError:
        return ()
    found = procfs.stat(process.pid)
    if found is None or _id(found).tick != process.tick:
        return ()
    parts = data[:_ARGUMENT_BYTES].split(b"\0")
    if parts[-1] == b"":
        parts.pop()
    return tuple(part.decode("utf-8", "backslashreplace") for part in parts)


def environment_of(process: ProcessId, most: int) -> tuple[bytes, int]:
    """Return (up to `most` bytes of it, its length) of the environment of a stopped process."""
    try:
        data = Path("/proc", str(process.pid), "environ").read_bytes()
    except OSError:
        return b"", 0
    return data[:most], len(data)

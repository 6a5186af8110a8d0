"""Who is watched, in the kernel's maps, and labels for what already ran when the hooks went in."""

import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from agent.errors import SensorError
from agent.release import ProcessId
from agent.sensor.bpf import Map
from agent.sensor.interface import Subject
from agent.sensor.records import NO_LOGIN

_LABEL = struct.Struct("<QQIHHI4x")
_CGROUP_TEXT = 192
_NAME_TEXT = 64
_MAXIMUM_GROUPS = 8
_MAXIMUM_SUBJECTS = 256
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def cgroup_mount() -> Path | None:
    """Return where cgroup v2 is mounted, or None."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            return Path(fields[1])
    return None


def cgroup_of(pid: int | str) -> str:
    """Return the cgroup v2 path of a process, as in /proc/PID/cgroup; empty if it has none."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return line[3:]
    return ""


def within(path: str, cgroup: str) -> bool:
    """Return whether cgroup `path` is `cgroup` or below it."""
    return path == cgroup or path.startswith(cgroup.rstrip("/") + "/")


@dataclass(frozen=True, slots=True)
class _Running:
    """What the scan knows of one process."""

    pid: int
    parent: int
    start_ns: int
    subject: int


class Labels:
    """The maps of subjects and labels."""

    def __init__(self, maps: Path) -> None:
        """Open the maps under `maps` (a directory of bpffs)."""
        self._labels = Map(maps / "hf_labels", 4, _LABEL.size)
        self._subjects = Map(maps / "hf_subjects", 4, _NAME_TEXT)
        self._users = Map(maps / "hf_users", 4, 4)
        self._groups = Map(maps / "hf_groups", 4, 8)
        self._cgroups = Map(maps / "hf_cgroups", 8, 4)
        self._cgroup_paths = Map(maps / "hf_cgroup_paths", _CGROUP_TEXT, 4)

    def numbered(self, subjects: Sequence[Subject]) -> tuple[list[Subject], list[str]]:
        """Return the subjects with the numbers that labels carry, and the names by number.

        A name keeps its number for as long as the maps live: what was labelled under another
        configuration is still told by the name that it had then.
        """
        names = [self._name(number) for number in range(_MAXIMUM_SUBJECTS)]
        found = []
        for one in subjects:
            raw = one.name.encode()[: _NAME_TEXT - 1].decode(errors="ignore")
            if raw not in names:
                if "" not in names[1:]:
                    raise SensorError(
                        f"subject {one.name}: more than {_MAXIMUM_SUBJECTS - 1} subjects have been "
                        "watched since the programs were loaded; run holdfast-agent unload"
                    )
                number = names.index("", 1)
                names[number] = raw
                self._subjects.set(struct.pack("<I", number), raw.encode().ljust(_NAME_TEXT, b"\0"))
            found.append(replace(one, index=names.index(raw, 1)))
        return found, names

    def _name(self, number: int) -> str:
        raw = self._subjects.get(struct.pack("<I", number)) or b""
        return raw.rstrip(b"\0").decode()

    def session_of(self, pid: int) -> str | None:
        """Return the session of the process of this number, None if it has no label of its own."""
        label = self._labels.get(struct.pack("<I", pid))
        if label is None:
            return None
        start_ns, root_start_ns, root_pid, _, _, _ = _LABEL.unpack(label)
        try:
            # A label of another start was left by an earlier process of this number.
            if started_ns(pid) // _TICK_NS != start_ns // _TICK_NS:
                return None
        except (OSError, IndexError, ValueError):
            return None
        return f"{root_pid}-{root_start_ns}"

    def set_subjects(self, subjects: Sequence[Subject]) -> int:
        """Watch these subjects; return how many groups are in use. Raises SensorError."""
        own = cgroup_of("self")
        # Whoever started the agent may have been watched; the agent is not.
        self._labels.delete(struct.pack("<I", os.getpid()))
        users = {uid: one.index for one in subjects for uid in one.uids}
        groups = [(gid, one.index) for one in subjects for gid in one.gids]
        if len(groups) > _MAXIMUM_GROUPS:
            raise SensorError(
                f"{len(groups)} groups are watched, at most {_MAXIMUM_GROUPS} can be; "
                "watch the users or the cgroup instead"
            )
        self._replace(self._users, {struct.pack("<I", uid): index for uid, index in users.items()})
        for position, (gid, index) in enumerate(groups):
            self._groups.set(struct.pack("<I", position), struct.pack("<II", gid, index))
        mount = cgroup_mount()
        paths: dict[bytes, int] = {}
        ids: dict[bytes, int] = {}
        for one in subjects:
            for cgroup in one.cgroups:
                if within(own, cgroup):
                    raise SensorError(
                        f"subject {one.name}: cgroup {cgroup} holds this agent itself; "
                        "run the agent in a unit of its own"
                    )
                if mount is None:
                    raise SensorError(
                        f"subject {one.name}: no cgroup v2 is mounted; mount it or watch users"
                    )
                raw = os.fsencode(cgroup)
                if len(raw) >= _CGROUP_TEXT:
                    raise SensorError(
                        f"subject {one.name}: cgroup {cgroup} has a path of {len(raw)} bytes, at "
                        f"most {_CGROUP_TEXT - 1} can be watched; name one above it"
                    )
                paths[raw.ljust(_CGROUP_TEXT, b"\0")] = one.index
                place = mount / cgroup.lstrip("/")
                if place.is_dir():
                    ids[struct.pack("<Q", place.stat().st_ino)] = one.index
        self._replace(self._cgroup_paths, paths)
        self._replace(self._cgroups, ids)
        return len(groups)

    @staticmethod
    def _replace(one: Map, wanted: dict[bytes, int]) -> None:
        for key, index in wanted.items():
            one.set(key, struct.pack("<I", index))
        for key in one.all_keys():
            if key not in wanted:
                one.delete(key)

    def label_running(self, subjects: Sequence[Subject]) -> int:
        """Label what runs already and matches, and all its descendants; return how many were new.

        The hooks are in, so whatever a process forks after it is labelled is labelled by the
        kernel; what it forked before that is found by looking again until nothing is new.
        """
        total = 0
        while True:
            new = self._label_once(subjects)
            total += new
            if not new:
                return total

    def _label_once(self, subjects: Sequence[Subject]) -> int:
        running = {one.pid: one for one in _scan(subjects)}
        new = 0
        for process in running.values():
            key = struct.pack("<I", process.pid)
            known = self._labels.get(key)
            if known is not None and _is_of(known, process):
                continue
            root = _root(process, running)
            if root is None:
                continue
            value = self._label_under(root, process, running)
            # A label of another start was left by an earlier process of this number.
            new += self._labels.set(key, value, only_new=known is None)
        return new

    def _label_under(
        self, root: _Running, process: _Running, running: dict[int, _Running]
    ) -> bytes:
        """Return the label of an ancestor if the kernel has made one, else one of our own."""
        above: _Running | None = process
        while above is not None and above.parent in running:
            above = running[above.parent]
            known = self._labels.get(struct.pack("<I", above.pid))
            if known is not None and _is_of(known, above):
                _, root_start, root_pid, subject, _, login = _LABEL.unpack(known)
                return _LABEL.pack(process.start_ns, root_start, root_pid, subject, 0, login)
        start, login = process.start_ns, _login(process.pid)
        return _LABEL.pack(start, root.start_ns, root.pid, root.subject, 0, login)

    def name(self, number: int) -> str:
        """Return the name of a subject, empty for a number that none has."""
        return self._name(number) if number else ""

    def numbers(self, subject: str) -> set[int]:
        """Return the numbers that labels of a subject carry; none if it was never watched."""
        raw = subject.encode()[: _NAME_TEXT - 1].decode(errors="ignore")
        return {n for n in range(1, _MAXIMUM_SUBJECTS) if raw and self._name(n) == raw}

    def of(self, subject: str) -> list[ProcessId]:
        """Return the processes with the label of a subject; a process may be gone by now."""
        return [one for number in self.numbers(subject) for one, _ in self.marked(number)]

    def marked(self, number: int) -> list[tuple[ProcessId, int]]:
        """Return the processes of a subject with the serials of the quarantines they stopped for.

        0 for one that the kernel has never stopped for any.
        """
        found = []
        for key in self._labels.all_keys():
            label = self._labels.get(key)
            if label is None:
                continue
            start_ns, _, _, subject, mark, _ = _LABEL.unpack(label)
            if subject == number:
                found.append((ProcessId(int.from_bytes(key, "little"), start_ns), mark))
        return found

    def mark_of(self, process: ProcessId) -> tuple[int, int]:
        """Return the number of a process's subject, and the serial as `marked` does; or zeros."""
        label = self._labels.get(struct.pack("<I", process.pid))
        if label is None:
            return 0, 0
        start_ns, _, _, number, mark, _ = _LABEL.unpack(label)
        if ProcessId(process.pid, start_ns).tick != process.tick:
            return 0, 0
        return number, mark

    def close(self) -> None:
        """Give the descriptors back."""
        for one in (
            self._labels,
            self._subjects,
            self._users,
            self._groups,
            self._cgroups,
            self._cgroup_paths,
        ):
            one.close()


def started_ns(pid: int | str) -> int:
    """Return when a process started, on the boot clock, cut to the clock tick."""
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(stat[19]) * _TICK_NS


def _is_of(label: bytes, process: _Running) -> bool:
    start_ns: int = _LABEL.unpack(label)[0]
    return start_ns // _TICK_NS == process.start_ns // _TICK_NS


def _root(process: _Running, running: dict[int, _Running]) -> _Running | None:
    """Return the highest ancestor (or the process itself) that matches a subject, or None."""
    root = None
    seen: set[int] = set()
    at: _Running | None = process
    while at is not None and at.pid not in seen:
        seen.add(at.pid)
        if at.subject:
            root = at
        at = running.get(at.parent)
    return root


def _scan(subjects: Sequence[Subject]) -> Iterable[_Running]:
    own = os.getpid()
    for process in psutil.process_iter():
        try:
            pid = process.pid
            if pid == own:
                continue
            stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            if stat[0] == "Z" and int(stat[17]) <= 1:
                continue  # its last thread has ended
            subject = _matching(process, subjects)
            yield _Running(pid, int(stat[1]), int(stat[19]) * _TICK_NS, subject)
        except (psutil.Error, OSError):
            continue  # it is gone, and with it whatever it could have done


def _matching(process: psutil.Process, subjects: Sequence[Subject]) -> int:
    uids = process.uids()
    gids = {*process.gids()[:2], *_supplementary(process.pid)}
    cgroup = cgroup_of(process.pid)
    for one in subjects:
        if (
            uids.real in one.uids
            or uids.effective in one.uids
            or not gids.isdisjoint(one.gids)
            or any(within(cgroup, path) for path in one.cgroups)
        ):
            return one.index
    return 0


def _supplementary(pid: int) -> list[int]:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("Groups:"):
            return [int(gid) for gid in line.split()[1:]]
    return []


def _login(pid: int) -> int:
    """Return the audit login id of a process, as the kernel stores it; all ones for none."""
    try:
        return int(Path(f"/proc/{pid}/loginuid").read_text())
    except (OSError, ValueError):
        return NO_LOGIN

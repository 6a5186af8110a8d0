"""A sensor over pinned programs and maps, whichever way these stop a process; see stop and gate."""

import os
import select
import struct
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path

from agent.errors import RecordError, SensorError
from agent.release import ProcessId
from agent.sensor import programs
from agent.sensor.ancestors import with_ancestors_arguments
from agent.sensor.bpf import Map, Ring
from agent.sensor.interface import (
    Caught,
    HeldAct,
    HeldKey,
    Losses,
    Observed,
    Permits,
    Resume,
    Subject,
    Use,
)
from agent.sensor.labels import Labels, started_ns
from agent.sensor.permits import KernelPermits, NoPermits
from agent.sensor.quarantines import Quarantines
from agent.sensor.records import (
    FACTS_BYTES,
    OBSERVED_BYTES,
    act_of_facts,
    act_of_observed,
    act_unread,
    call_is_to_come,
    resume_of,
)
from agent.sensor.repeats import KernelRepeats
from agent.sensor.sides import Side
from agent.sensor.tables import RuleTables
from agent.sensor.tickets import Tickets
from rules.superset import KernelTables
from wire.acts import Act, Kind

# The ring's own head, boot_ns, and the rest.
_OBSERVED = struct.Struct(f"<IIQ{OBSERVED_BYTES - 8}s")
_COUNTERS = 4
_GUARDED = struct.Struct("<QQQ")
_BPFFS_MAGIC = "bpf"


class MappedSensor:
    """Implements interface.Sensor. One object per process; not for use from several threads."""

    mode: str
    side: Side  # which programs

    @property
    def permits(self) -> Permits:
        """What passes without a stop: nothing more, where calls are stopped when they were made.

        But what has passed before, in another mode, is still to be told and counts.
        """
        # Nothing loaded, or by an older version.
        if not (self._directory / "maps" / "hf_uses").exists():
            return NoPermits()
        return self._kernel_permits

    @cached_property
    def _kernel_permits(self) -> KernelPermits:
        return KernelPermits(self._directory / "maps")

    def act_of_use(self, use: Use) -> Act:
        """Return the act of a use; raise RecordError."""
        return with_ancestors_arguments(act_of_facts(use.record, self._subjects, _wall_offset_ns()))

    def __init__(self, bpffs: Path, cache: Path | None = None) -> None:
        """`bpffs` is the directory that this agent alone pins under.

        In `cache` compiled programs are kept, so that the next start needs no compiler.
        """
        self._directory = bpffs
        self._cache = cache
        self._subjects: list[str] = []
        self._cgroups = False
        self._quarantined = False
        self._kinds: frozenset[Kind] = frozenset()
        self._returned: set[int] = set()
        self._fresh: list[HeldAct] = []  # read, and not yet given out
        self._unread = 0
        self._started = False

    def start(
        self,
        subjects: Sequence[Subject],
        tables: KernelTables,
        journalled: Collection[HeldKey] = (),
    ) -> None:
        """Load or take up the kernel side, then label what already runs; raise SensorError."""
        _check_bpffs(self._directory.parent)
        self._close_cached()  # of what an upgrade replaces
        programs.ensure_loaded(self._directory, self._cache, journalled, side=self.side)
        maps = self._directory / "maps"
        self._counters = Map(maps / "hf_counters", 4, 8, copies=_possible_processors())
        self._told = Map(maps / "hf_told", 4, 8)
        self._wake, self._resumes, self._acts, self._execs = (
            Ring(maps / name) for name in ("hf_wake", "hf_resumes", "hf_acts", "hf_execs")
        )
        self._tables = RuleTables(maps)
        self._labels = Labels(maps)
        self._quarantines = Quarantines(maps, self._labels)
        self._quarantined = self._quarantines.any_in_force()
        told = (self._wake, self._resumes, self._quarantines, self._kernel_permits)
        self._holds_epoll = _epoll(*(one.fd for one in told))
        self._events_epoll = _epoll(self._acts.fd, self._execs.fd)
        subjects, self._subjects = self._labels.numbered(subjects)
        self._cgroups = any(one.cgroups for one in subjects)
        # What is wanted and where to look first, then who is watched: from then on acts count.
        self.set_tables(tables)
        groups = self._labels.set_subjects(subjects)
        agent = (os.getpid(), started_ns("self"))
        self._tables.set_subjects(agent=agent, groups=groups, cgroups=self._cgroups)
        programs.activate(self._directory, self.side)
        self._labels.label_running(subjects)
        self._started = True

    def set_tables(self, tables: KernelTables) -> None:
        """Put a new rule set's superset in force; the old one stays until the new one stands."""
        # Attached before the rules count and detached after, so that no act falls in between.
        self._attach(tables.kinds)
        try:
            self._tables.put(tables)
        except OSError as error:
            raise SensorError(
                f"the rules do not fit into the kernel's tables ({error.strerror}); "
                "the rules before them stay in force"
            ) from error
        self._kinds = tables.kinds
        self._detach_others()

    def _attach(self, kinds: frozenset[Kind]) -> None:
        programs.attach_for(
            self._directory, kinds, self.side, cgroups=self._cgroups, quarantine=self._quarantined
        )

    def _detach_others(self) -> None:
        programs.detach_others(
            self._directory,
            self._kinds,
            self.side,
            cgroups=self._cgroups,
            quarantine=self._quarantined,
        )

    def holds_fd(self) -> int:
        """Return a descriptor that is readable while holds, resumes or `caught` are to be taken."""
        return self._holds_epoll.fileno()

    def new_resumes(self) -> list[Resume]:
        """Return who has tried to let a held process run on, since the last call."""
        return [resume_of(bytes(record)) for record in self._resumes.records()]

    @cached_property
    def _holds(self) -> Map:
        return Map(self._directory / "maps" / "hf_holds", 8, FACTS_BYTES)

    @cached_property
    def _guarded(self) -> Map:
        return Map(self._directory / "maps" / "hf_guarded", 4, _GUARDED.size)

    @cached_property
    def _resumed(self) -> Map:
        return Map(self._directory / "maps" / "hf_resumed", 4, 4)

    def new_holds(self) -> list[HeldAct]:
        """Return what is held and was not returned before by this object."""
        offset = _wall_offset_ns()
        for record in self._wake.records():
            # A hint that names no entry: then all of them are looked at.
            keys = [bytes(record)] if len(record) == 8 else self._holds.all_keys()
            for number in (int.from_bytes(key, "little") for key in keys):
                if number in self._returned:
                    continue
                raw = self._holds.get(struct.pack("<Q", number))
                if raw is not None:
                    self._fresh.append(self._held(number, raw, offset))
                    self._returned.add(number)
        found, self._fresh = self._fresh, []
        return found

    def all_holds(self) -> list[HeldAct]:
        """Return everything in the held map, which is the truth, whoever made it.

        Works without `start`, for who only settles what an agent has left; nothing loaded is
        nothing held.
        """
        if not self._directory.is_dir():
            return []
        offset = _wall_offset_ns()
        found = []
        for key in self._holds.all_keys():
            raw = self._holds.get(key)
            if raw is not None:
                (number,) = struct.unpack("<Q", key)
                self._returned.add(number)
                found.append(self._held(number, raw, offset))
        return sorted(found, key=lambda one: one.key)

    def _held(self, number: int, raw: bytes, offset: int) -> HeldAct:
        try:
            act = act_of_facts(raw, self._subjects, offset)
        except RecordError as error:
            # One entry that cannot be read must neither hide the others nor be forgotten.
            whose = act_unread(raw, self._subjects, offset)
            return HeldAct(key=HeldKey(number), act=whose, unread=str(error))
        return HeldAct(key=HeldKey(number), act=with_ancestors_arguments(act))

    @cached_property
    def _tickets(self) -> Tickets:
        return Tickets(self._directory / "maps")

    def admit(self, key: HeldKey, *, refuse: bool = False) -> None:
        """Say what becomes of a held call, just before `forget`: once made, or refused."""
        raw = self._holds.get(struct.pack("<Q", key))
        if raw is None:
            return
        if call_is_to_come(raw):
            self._tickets.write(raw, refuse=refuse)
        elif refuse:
            raise SensorError("a call that was made before it was stopped cannot be refused")

    def missing(self) -> frozenset[Kind]:
        """Return the kinds of act that this kernel has no place to hold at."""
        return frozenset()

    def beat(self) -> None:
        """Tell the kernel side that an agent is there, and take away what has expired."""
        self._tickets.beat()

    @cached_property
    def _repeats(self) -> KernelRepeats | None:
        maps = self._directory / "maps"
        return KernelRepeats(maps) if (maps / "hf_repeats").exists() else None

    def refuse_again(self, key: HeldKey, until_boot_ns: int) -> bytes | None:
        """Have the kernel refuse a held call by itself until then, when its process repeats it."""
        raw = self._holds.get(struct.pack("<Q", key))
        if raw is None or self._repeats is None or not call_is_to_come(raw):
            return None
        return self._repeats.refuse(raw, until_boot_ns)

    def refused_again(self, *, everything: bool = False) -> list[tuple[bytes, int]]:
        """Return how often the kernel has done so for what has ended since the last call."""
        return [] if self._repeats is None else self._repeats.take(everything=everything)

    def forget(self, key: HeldKey) -> None:
        """Take an entry out of the held map, just before its process runs on or once it is gone."""
        self._holds.delete(struct.pack("<Q", key))
        self._returned.discard(key)

    def unguard(self, pid: int) -> None:
        """Let a process run on when it is resumed; until then the kernel stops or kills it."""
        self._guarded.delete(struct.pack("<I", pid))
        if not self._guarded.all_keys():
            self._resumed.set(bytes(4), bytes(4))
            if self._guarded.all_keys():  # one that is held since then may have been resumed too
                self._resumed.set(bytes(4), struct.pack("<I", 1))

    def session_of(self, pid: int) -> str | None:
        """Return the session of a labelled process that lives, None of any other."""
        return self._labels.session_of(pid)

    def labelled(self, subject: str) -> list[ProcessId]:
        """Return who is labelled with a subject of this name; some may be gone."""
        return self._labels.of(subject)

    def quarantine(self, subjects: Collection[str], *, settled: bool = False) -> bool:
        """Have the kernel stop everybody of these subjects, and of no others, who would run."""
        if not self._started:
            return True  # what is in force stays so, and this agent only settles what was left
        if settled:
            self._quarantines.settle()
            return True
        # In the map first: whoever is labelled from now on is either told or found by a look.
        self._quarantines.put(subjects)
        self._quarantined = self._quarantines.any_in_force()
        self._attach(self._kinds)
        self._detach_others()
        return True

    def caught(self) -> list[Caught]:
        """Return whom the kernel has stopped for a quarantine since the last call."""
        if self._started:
            return self._quarantines.caught()
        maps = self._directory / "maps"
        if not (maps / "hf_quarantines").exists():
            return []
        with closing(Labels(maps)) as labels, closing(Quarantines(maps, labels)) as quarantines:
            return quarantines.everybody()

    def is_caught(self, process: ProcessId) -> bool:
        """Return whether the kernel has stopped a process for a quarantine, nobody else before."""
        return self._quarantines.is_caught(process)

    def events_fd(self) -> int:
        """Return a descriptor that becomes readable at the first event after a drain."""
        return self._events_epoll.fileno()

    def drain_execs(self, limit: int) -> list[Act]:
        """Return up to `limit` observed execs, oldest first."""
        offset = _wall_offset_ns()
        found: list[Act] = []
        for record in self._execs.records():
            if len(found) >= limit:
                break  # this one has not been counted as read, and comes again
            try:
                found.append(act_of_facts(record, self._subjects, offset))
            except RecordError:
                self._unread += 1
        return found

    def drain_acts(self, limit: int) -> list[Observed]:
        """Read up to `limit` other observed acts; return them with those that are the same as one.

        In the order of the first of each.
        """
        rows = self._acts.unpack(_OBSERVED, limit)
        if not rows:
            return []
        _, _, times, records = zip(*rows, strict=True)
        # The last one that is put under a key stays, hence backwards.
        first = dict(zip(reversed(records), reversed(times), strict=True))
        return [Observed(first[record], record, n) for record, n in Counter(records).items()]

    def act_of(self, observed: Observed) -> Act:
        """Return an observed act as a value."""
        return act_of_observed(observed.boot_ns, observed.record, self._subjects, _wall_offset_ns())

    def losses(self) -> Losses:
        """Return what was lost so far."""
        return self._counts(self._counters)

    def told(self) -> Losses:
        """Return how much of that is in the record already, whichever agent told it."""
        return self._counts(self._told)

    def tell(self, losses: Losses) -> None:
        """Note what is in the record now; kept where the counts themselves are."""
        for index, count in enumerate((losses.events, losses.holds, losses.labels)):
            self._told.set(struct.pack("<I", index), struct.pack("<Q", count))

    def _counts(self, counters: Map) -> Losses:
        counts = []
        for index in range(_COUNTERS):
            raw = counters.get(struct.pack("<I", index)) or b""
            counts.append(sum(struct.unpack(f"<{len(raw) // 8}Q", raw)))
        unread = self._unread + self._acts.unread
        return Losses(events=counts[0], holds=counts[1], labels=counts[2], unread=unread)

    def close(self) -> None:
        """Let go of descriptors; what is pinned stays and goes on working."""
        self._close_cached()
        if self._started:
            self._started = False
            self._holds_epoll.close()
            self._events_epoll.close()
            rings = (self._wake, self._resumes, self._acts, self._execs)
            for one in (self._counters, self._told, *rings):
                one.close()
            self._tables.close()
            self._quarantines.close()
            self._labels.close()

    def _close_cached(self) -> None:
        names = ("_holds", "_guarded", "_resumed", "_tickets", "_kernel_permits", "_repeats")
        for one in [self.__dict__.pop(name) for name in names if name in self.__dict__]:
            if one is not None:
                one.close()

    def detach(self) -> None:
        """Let nothing new be held: off the tracepoints, the maps still there."""
        programs.detach(self._directory)

    def unload(self) -> None:
        """Remove everything of ours from the kernel: links, programs, maps."""
        programs.unload(self._directory)


def _check_bpffs(directory: Path) -> None:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == _BPFFS_MAGIC and Path(place) in (directory, *directory.parents):
            return
    raise SensorError(f"{directory} is not on a BPF file system; run: mount -t bpf bpf /sys/fs/bpf")


def _epoll(*descriptors: int) -> select.epoll:
    """Return one descriptor that is readable while any of these is."""
    made = select.epoll()
    for descriptor in descriptors:
        made.register(descriptor, select.EPOLLIN)
    return made


def _possible_processors() -> int:
    """Return how many values a per-processor map has per key."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().rsplit("-", 1)[-1]
    return int(last.rsplit(",", 1)[-1]) + 1


def _wall_offset_ns() -> int:
    """Return what makes a time of the boot clock one since the epoch."""
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)

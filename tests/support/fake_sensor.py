"""A sensor without a kernel side: a test puts acts into its held map and it keeps order."""

import asyncio
import os
from collections.abc import Collection, MutableMapping, Sequence
from contextlib import suppress

from agent.errors import SensorError
from agent.release import ProcessId
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
from rules.superset import KernelTables
from tests.support.fake_permits import FakePermits
from wire.acts import Act, Kind


class HeldMap:
    """What outlives an agent: the held map of the kernel."""

    def __init__(self) -> None:
        self.entries: MutableMapping[HeldKey, HeldAct] = {}
        self.permits = FakePermits()
        self.forgotten: list[HeldKey] = []
        self.unguarded: list[int] = []
        self.admitted: dict[HeldKey, bool] = {}  # False: the call is to fail
        self.repeats: dict[HeldKey, int] = {}  # until when the kernel refuses what was held
        self.repeated: list[tuple[bytes, int]] = []
        self.labels: dict[str, list[ProcessId]] = {}
        self._last = 0

    def put(self, act: Act) -> HeldAct:
        """Add what the kernel would have held."""
        self._last += 1
        held = HeldAct(key=HeldKey(self._last), act=act)
        self.entries[held.key] = held
        return held


class FakeSensor:
    """Implements agent.sensor.interface.Sensor over a HeldMap."""

    mode = "stop"

    def __init__(self, held: HeldMap, *, strict: bool = False) -> None:
        self.strict = strict
        self.held = held
        self.permits: Permits = held.permits
        self.subjects: Sequence[Subject] = ()
        self.tables: KernelTables | None = None
        self.unloaded = False
        self.refuse_tables = False
        self.refuse_forget = False
        self.forgot = asyncio.Event()
        self.resumes: list[Resume] = []
        self.sessions: dict[int, str] = {}
        self._told = Losses(events=0, holds=0, labels=0)
        self._returned: set[HeldKey] = set()
        self._holds = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._events = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def hold(self, act: Act) -> HeldAct:
        """Hold an act, and wake the agent as the kernel does."""
        entry = self.held.put(act)
        os.eventfd_write(self._holds, 1)
        return entry

    def start(
        self,
        subjects: Sequence[Subject],
        tables: KernelTables,
        journalled: Collection[HeldKey] = (),
    ) -> None:
        """Take up the map."""
        self.subjects, self.tables = subjects, tables

    def set_tables(self, tables: KernelTables) -> None:
        """Put tables in force, unless told to refuse."""
        if self.refuse_tables:
            raise SensorError("the rules do not fit into the kernel's tables")
        self.tables = tables

    def holds_fd(self) -> int:
        """Return an eventfd."""
        return self._holds

    def new_holds(self) -> list[HeldAct]:
        """Return entries not returned before; as the real one, only after a start."""
        assert self.tables is not None or not self.strict, "new_holds before start"
        with suppress(BlockingIOError):
            os.eventfd_read(self._holds)
        fresh = [held for key, held in self.held.entries.items() if key not in self._returned]
        self._returned.update(held.key for held in fresh)
        return fresh

    def new_resumes(self) -> list[Resume]:
        """Return what a test has put into `resumes`."""
        found, self.resumes = self.resumes, []
        return found

    def all_holds(self) -> list[HeldAct]:
        """Return every entry."""
        self._returned.update(self.held.entries)
        return list(self.held.entries.values())

    def admit(self, key: HeldKey, *, refuse: bool = False) -> None:
        """Note what is to become of a held call."""
        self.held.admitted[key] = not refuse

    def missing(self) -> frozenset[Kind]:
        """Everything can be held."""
        return frozenset()

    def beat(self) -> None:
        """Nobody listens."""

    def refuse_again(self, key: HeldKey, until_boot_ns: int) -> bytes | None:
        """Note it."""
        self.held.repeats[key] = until_boot_ns
        return key.to_bytes(8, "little")

    def refused_again(self, *, everything: bool = False) -> list[tuple[bytes, int]]:
        """Return what a test has put into `repeated`."""
        found, self.held.repeated = self.held.repeated, []
        return found

    def forget(self, key: HeldKey) -> None:
        """Take an entry out, unless told to refuse."""
        if self.refuse_forget:
            raise SensorError("the held map cannot be written")
        self.held.entries.pop(key, None)
        self.held.forgotten.append(key)
        self.forgot.set()

    def unguard(self, pid: int) -> None:
        """Note that this process may run on."""
        self.held.unguarded.append(pid)

    def session_of(self, pid: int) -> str | None:
        """Return the session that a test has given a process."""
        return self.sessions.get(pid)

    def act_of_use(self, use: Use) -> Act:
        """Return the act of a use that a test has made."""
        return self.held.permits.acts[int(use.record)]

    def quarantine(self, subjects: Collection[str], *, settled: bool = False) -> bool:
        """Nothing stops anybody by itself here."""
        return False

    def caught(self) -> list[Caught]:
        """Nobody, see quarantine."""
        return []

    def is_caught(self, process: ProcessId) -> bool:
        """Nobody is, see quarantine."""
        return False

    def labelled(self, subject: str) -> list[ProcessId]:
        """Return whom a test has labelled."""
        return list(self.held.labels.get(subject, ()))

    def events_fd(self) -> int:
        """Return an eventfd that never fires."""
        return self._events

    def drain_execs(self, limit: int) -> list[Act]:
        """Return nothing."""
        return []

    def drain_acts(self, limit: int) -> list[Observed]:
        """Return nothing."""
        return []

    def act_of(self, observed: Observed) -> Act:
        """Refuse: there are none."""
        raise SensorError(f"none was given out, so not {observed!r}")

    def losses(self) -> Losses:
        """Return that nothing was lost."""
        return Losses(events=0, holds=0, labels=0)

    def told(self) -> Losses:
        """Return what was told."""
        return self._told

    def tell(self, losses: Losses) -> None:
        """Note it."""
        self._told = losses

    def close(self) -> None:
        """Close the descriptors."""
        for name in ("_holds", "_events"):
            descriptor = getattr(self, name)
            if descriptor >= 0:
                os.close(descriptor)
                setattr(self, name, -1)

    def detach(self) -> None:
        """Nothing is attached here."""

    def unload(self) -> None:
        """Forget the map."""
        self.held.entries.clear()
        self.unloaded = True

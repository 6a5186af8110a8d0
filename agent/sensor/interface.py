"""The seam between the kernel side and the rest of the agent: what any sensor offers."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NewType, Protocol, runtime_checkable

from agent.release import ProcessId
from rules.superset import KernelTables
from wire.acts import Act, Kind
from wire.ids import OrderId

HeldKey = NewType("HeldKey", int)
# No entry of the held map, whose keys begin anew when it is made anew: the hold is in the journal
# and not, or no longer, in the kernel.
NO_KEY = HeldKey(-1)


class Observed(NamedTuple):
    """Acts that are the same but for their time: process, thread, file, flags, result and all."""

    boot_ns: int  # of the first
    record: bytes  # a struct observed, as records.h has it, without its boot_ns
    times: int


class Caught(NamedTuple):
    """A process that the kernel has stopped, since its subject is in quarantine."""

    process: ProcessId
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAct:
    """One entry of the held map: the kernel has sent SIGSTOP to this process for this act.

    `key` is unique for the life of the map, which outlives the agent. `unread` says why the entry
    cannot be read; then `act` has only whose it is, and it may not be judged. `ended`: its process
    was gone before it could be stopped, so there is nothing to hold; only mode audit is so late.
    """

    key: HeldKey
    act: Act
    unread: str = ""
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Somebody has sent SIGCONT to a process with a hold, for the `count`-th time.

    Of many the kernel tells the first, the tenth, the hundredth and so on. `boot_ns` is when.
    `ended`: it did run on, and the kernel has killed it at the end of its next system call.
    `traced`: whoever it was has traced it instead, and was killed for that; `trace_refused`: and
    could not.
    """

    pid: int
    start_ns: int
    boot_ns: int
    count: int
    by_pid: int
    by_uid: int
    by_comm: str
    ended: bool = False
    traced: bool = False
    trace_refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One watched subject, as the configuration names it; ids are resolved."""

    index: int  # 1 and up; what the kernel stores with a label
    name: str
    uids: tuple[int, ...] = ()
    gids: tuple[int, ...] = ()
    cgroups: tuple[str, ...] = ()  # paths under the cgroup v2 mount, as in /proc/PID/cgroup
    responsible: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """What the kernel could not report, counted since the maps were made; only ever grows."""

    events: int  # acts that a rule wanted observed and the ring had no room for
    holds: int  # acts that could not be held and were killed instead
    labels: int  # processes that matched and could not be labelled
    unread: int = 0  # observed acts that this version cannot read; since the agent started
    records: int = 0  # mode audit: records that the kernel's audit could not deliver
    absences: int = 0  # mode audit: times that no records came at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the kernel compares with a call to know whether it is one that was granted."""

    subject: int
    root_pid: int
    root_start_ns: int
    uid: int
    gid: int
    identity_hash: int
    identity: bytes  # struct identity without the thread


class Use(NamedTuple):
    """A call that has passed by a grant, without a stop. None: of one that is long gone."""

    order: OrderId | None
    record: bytes  # for Sensor.act_of_use


class Permits(Protocol):
    """What the kernel side lets pass by itself. Kept by what is pinned, with its counts."""

    def terms_of(self, key: HeldKey) -> Terms | None:
        """Return what makes a held call that call; None where nothing can pass by itself."""

    def permit(
        self, order: OrderId, terms: Terms, *, whole_subject: bool, uses: int, expires_boot_ns: int
    ) -> bool:
        """Let calls like this pass so often, until then; return whether that is in force."""

    def left(self) -> Mapping[OrderId, int]:
        """Return how many uses each grant has left here; what was used is told by `uses`."""

    def forbid(self, order: OrderId) -> None:
        """Let nothing pass by a grant any more."""

    def limit(self, order: OrderId, uses: int) -> None:
        """Leave a grant so many uses from now on."""

    def take_use(self, order: OrderId) -> bool:
        """Take one use for an act that the agent itself lets go; False if none is left."""

    def uses(self) -> Iterator[Use]:
        """Yield each use, oldest first; one is kept until the next is asked for."""


@runtime_checkable
class Telling(Protocol):
    """A sensor that has something to say itself, beside what it has seen."""

    def tell_through(self, notice: Callable[[str, str], None]) -> None:
        """Say it by `notice(name, words)` from now on, during the start as well."""


class Sensor(Protocol):
    """Kernel side of the agent. All methods are cheap; none blocks on anything but the kernel.

    Before `start`, `all_holds`, `caught`, `forget`, `close`, `detach` and `unload` can be used, by
    who settles what an agent that is gone has left; `caught` then tells all that there are.
    """

    mode: str  # gate, stop or audit

    @property
    def permits(self) -> Permits:
        """What passes without a stop."""

    def act_of_use(self, use: Use) -> Act:
        """Return the act of a use; raise RecordError."""

    def start(
        self,
        subjects: Sequence[Subject],
        tables: KernelTables,
        journalled: Collection[HeldKey] = (),
    ) -> None:
        """Load or take up the kernel side, then label what already runs; raise SensorError.

        `journalled` are the entries of the held map that the journal has as well: another version's
        programs may be replaced although they hold those.
        """

    def set_tables(self, tables: KernelTables) -> None:
        """Put a new rule set's superset in force; the old one stays until the new one stands."""

    def holds_fd(self) -> int:
        """Return a descriptor that is readable while holds, resumes or `caught` are to be taken."""

    def new_resumes(self) -> list[Resume]:
        """Return who has tried to let a held process run on, since the last call."""

    def new_holds(self) -> list[HeldAct]:
        """Return what is held and was not returned before by this object."""

    def all_holds(self) -> list[HeldAct]:
        """Return everything in the held map, which is the truth, whoever made it."""

    def admit(self, key: HeldKey, *, refuse: bool = False) -> None:
        """Say what becomes of a held call, just before `forget`: once made, or refused.

        A call that was made before its process was stopped cannot be refused: SensorError.
        """

    def missing(self) -> frozenset[Kind]:
        """Return the kinds of act that this kernel has no place to hold at."""

    def beat(self) -> None:
        """Tell the kernel side that an agent is there; to be called every second."""

    def refuse_again(self, key: HeldKey, until_boot_ns: int) -> bytes | None:
        """Have the kernel refuse a held call by itself until then, when its process repeats it.

        To be called before `forget`. Returns a name for it; None where the kernel cannot.
        """

    def refused_again(self, *, everything: bool = False) -> list[tuple[bytes, int]]:
        """Return how often the kernel has done so for what has ended since the last call, by name.

        With `everything` it does so no more for anything.
        """

    def forget(self, key: HeldKey) -> None:
        """Take an entry out of the held map, just before its process runs on or once it is gone."""

    def unguard(self, pid: int) -> None:
        """Let a process run on when it is resumed; until then the kernel stops or kills it."""

    def labelled(self, subject: str) -> list[ProcessId]:
        """Return who is labelled with a subject of this name; one that is gone may be among them.

        Of a process that ran before the programs did, the start is known to the clock tick only.
        """

    def quarantine(self, subjects: Collection[str], *, settled: bool = False) -> bool:
        """Have the kernel stop everybody of these subjects, and of no others, who would run.

        Kept by what is pinned. False where nothing in the kernel can: then who asks must look.
        `settled`: whoever was stopped for one that is over, `caught` has told and is known.
        """

    def caught(self) -> list[Caught]:
        """Return whom the kernel has stopped for a quarantine since the last call."""

    def is_caught(self, process: ProcessId) -> bool:
        """Return whether the kernel has stopped a process for a quarantine, nobody else before."""

    def events_fd(self) -> int:
        """Return a descriptor that becomes readable at the first event after a drain."""

    def drain_execs(self, limit: int) -> list[Act]:
        """Return up to `limit` observed execs, oldest first."""

    def drain_acts(self, limit: int) -> list[Observed]:
        """Read up to `limit` other observed acts; return them with those that are the same as one.

        In the order of the first of each. There may be hundreds of thousands a second, so
        `act_of` is for one of each sort.
        """

    def act_of(self, observed: Observed) -> Act:
        """Return an observed act as a value."""

    def session_of(self, pid: int) -> str | None:
        """Return the session of a labelled process that lives, as in its acts; None of others."""

    def losses(self) -> Losses:
        """Return what was lost so far."""

    def told(self) -> Losses:
        """Return how much of that is in the record already, whichever agent told it."""

    def tell(self, losses: Losses) -> None:
        """Note what is in the record now; kept where the counts themselves are."""

    def close(self) -> None:
        """Let go of descriptors; what is pinned stays and goes on working."""

    def detach(self) -> None:
        """Let nothing new be held or labelled; what is held can still be read and settled."""

    def unload(self) -> None:
        """Remove everything of ours from the kernel: links, programs, maps."""

"""One hold as the host keeps it: a frozen value, from the stop to what the host did."""

from dataclasses import dataclass, field
from enum import StrEnum

from agent.release import ProcessId
from agent.sensor.interface import HeldKey
from wire.acts import Act
from wire.ids import HoldId, OrderId, VerdictId
from wire.messages import Ground, HoldOpened, HoldState, HoldStateName, KillScope, OnTimeout


class Voice(StrEnum):
    """What the centre is told of a hold."""

    ASKED = "asked"  # that it was opened, and each state
    STATES = "states"  # each state: a rule has denied it, nobody is asked
    QUIET = "quiet"  # nothing: a rule has let it pass, its event says so


class Limit(StrEnum):
    """Why an act that a rule asks about is denied at once: of whom enough requests wait."""

    SESSION = "session"
    SUBJECT = "subject"
    REPEATS = "repeats"  # none: the same was denied too often of late


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The ground of what becomes of a hold, and who gave it."""

    ground: Ground
    verdict: VerdictId | None = None
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Pass:
    """The process may run on as far as this hold goes."""

    why: Why


@dataclass(frozen=True, slots=True)
class Doom:
    """The process is to be killed; with `refuse` only its call is to fail, and it goes on."""

    why: Why
    scope: KillScope
    refuse: bool = False

    @property
    def kills(self) -> bool:
        """Whether it ends the process."""
        return not self.refuse


Fate = Pass | Doom | None  # None: nothing yet, it stays stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One stopped act. `sequence` counts the states that were said of it; times are boot clock.

    `deadline_boot_ns` is 0 without a deadline. `act_boot_ns` with `key` and `process` names the
    entry of the kernel's held map for good.
    """

    id: HoldId
    key: HeldKey
    process: ProcessId
    session: str
    act_boot_ns: int
    boot_id: str
    digest: str
    rule: str = ""
    voice: Voice
    deadline_boot_ns: int = 0
    on_timeout: OnTimeout = OnTimeout.KILL
    kill: KillScope = KillScope.PROCESS
    refuse: bool = False  # a denial refuses the call and kills nobody
    state: HoldStateName = HoldStateName.HELD
    fate: Fate = None
    sequence: int = 0
    finished: bool = False
    # Not journalled: whose it is, which the held map tells as long as it waits, and whether it was
    # denied at once since enough of its session or subject wait.
    subject: str = ""
    capped: Limit | None = None
    # Denied beyond the rate at which denials are told one by one; it is counted.
    folded: bool = False
    # The act as the kernel saw it, with its secrets: by this rules and programs are judged. Only
    # the held map has it besides, so it is not known of a hold that is no longer there.
    act: Act | None = field(default=None, compare=False, repr=False)

    @property
    def waiting(self) -> bool:
        """Whether an answer can still change what becomes of it."""
        return self.state is HoldStateName.HELD and not self.finished


Say = HoldOpened | HoldState


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What changes at once: holds as they are from now on, and what the centre is told.

    `used` are the verdicts that are spent by it, `uses` the grants of which one use is, `spent`
    those of which the kernel has spent one. A step is journalled before anything acts on it.
    """

    holds: tuple[Hold, ...] = ()
    says: tuple[Say, ...] = ()
    used: tuple[tuple[VerdictId, HoldId], ...] = ()
    uses: tuple[OrderId, ...] = ()
    spent: tuple[OrderId, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.holds or self.says or self.used or self.uses or self.spent)

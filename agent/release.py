"""What a process is called, and the one permit that lets it run on: a Release, with its grounds.

Only `agent.holds.machine` makes a Release, only `agent.processes` takes one. Whom a quarantine has
stopped, without a hold, runs on by a Lift, which only `agent.orders.warden` makes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.errors import ControlError
from agent.procfs import TICK_NS
from wire.acts import Process
from wire.ids import HoldId
from wire.messages import Ground, KillScope


@dataclass(frozen=True, slots=True, order=True)
class ProcessId:
    """A process for good: its pid and its start time on the boot clock, in nanoseconds."""

    pid: int
    start_ns: int

    @classmethod
    def of(cls, process: Process) -> "ProcessId":
        """Return the name of a process that an act tells of."""
        return cls(process.pid, process.start_ns)

    @property
    def tick(self) -> tuple[int, int]:
        """The name at the resolution of /proc, by which all that know it so can be compared."""
        return self.pid, self.start_ns // TICK_NS

    def __str__(self) -> str:
        return f"{self.pid}-{self.start_ns}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Let `process` run on; `grounds` says why, for every hold that it has. Never without one.

    The calls of the holds in `refused` fail when it does; the others are made.
    """

    process: ProcessId
    grounds: Mapping[HoldId, Ground]
    refused: frozenset[HoldId] = frozenset()

    def __post_init__(self) -> None:
        if not self.grounds:
            raise ControlError(f"process {self.process}: a release names at least one hold")
        for hold, ground in self.grounds.items():
            if not isinstance(ground, Ground):
                raise ControlError(f"process {self.process}: hold {hold} has no ground for release")
        if not self.refused <= self.grounds.keys():
            raise ControlError(f"process {self.process}: what is refused is no hold of it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """Let `process` run on, which has no hold and was stopped for a quarantine that is over.

    `before`: it was stopped already when that came, so it stays stopped and is only thawed.
    """

    process: ProcessId
    before: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KillOrder:
    """End `process`, and with scope TREE what descends from it and `others` of its session."""

    process: ProcessId
    scope: KillScope
    ground: Ground
    hold: HoldId
    others: tuple[ProcessId, ...] = ()

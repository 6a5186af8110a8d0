"""Brings processes in line with their holds: the journal first, then the signal, then the record.

Every process is settled by comparing what its holds say with what it really is, as often as
needed; so a restart, a failed signal and a full disk take the same way as the good case.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from agent.clock import Clock
from agent.errors import AgentError, ControlError
from agent.holds.intake import Host
from agent.holds.machine import Machine
from agent.holds.model import Hold, Say, Step
from agent.holds.parents import Parents
from agent.journal import Journal
from agent.orders.programs import Programs
from agent.processes import ProcessControl, Resumed
from agent.release import KillOrder, ProcessId, Release
from agent.rulings import Ruled
from agent.sensor.interface import NO_KEY, HeldAct, HeldKey, Sensor
from agent.why.claims import Claims
from agent.why.denials import Denials
from wire.acts import Act
from wire.ids import HoldId
from wire.messages import HoldOpened, KillScope
from wire.redaction.redactor import Redactor
from wire.signing import Verifier

log = logging.getLogger("holdfast.agent.holds")

_RETRY_S = (1.0, 2.0, 5.0, 15.0, 60.0)
# The kernel makes the entry before it sends SIGSTOP; a resume in between would be lost.
_STOP_WAITS_S = (0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5)
_STOP_AGAIN = 4  # so many waits and it is still not stopped: the stop itself is repeated
_REMEMBERED_KEYS = 65_536


class Report(Protocol):
    """Where the agent says what it has seen and done."""

    def held(
        self,
        act: Act,
        *,
        action: str | None,
        rule: str | None,
        hold: HoldId | None,
        detail: str,
        count: int = 1,
    ) -> None:
        """Record one act that was held, or `count` alike of which it is the last."""

    def notice(self, name: str, words: str) -> None:
        """Record something that the host itself has to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the keeper works with; all of it can be another in a test."""

    host: Host
    sensor: Sensor
    fresh: Callable[[], list[HeldAct]]  # what was held since the last call, or everything
    journal: Journal
    control: ProcessControl
    judge: Callable[[Act], Ruled]
    verifier: Verifier
    report: Report
    clock: Clock
    said: Callable[[], None]  # called when there is something new to publish
    programs: Programs = field(default_factory=Programs)
    claims: Claims = field(default_factory=Claims)
    denials: Denials = field(default_factory=lambda: Denials(None))
    redactor: Redactor = field(default_factory=Redactor)


class Settler:
    """Settles processes. `drain` takes up what was held a moment ago; `blocked` says that a
    process must not run on whatever its holds say: it has a held act which could not be taken up,
    or its subject is under quarantine.
    """

    def __init__(
        self,
        parts: Parts,
        machine: Machine,
        *,
        drain: Callable[[], None],
        blocked: Callable[[ProcessId], bool],
    ) -> None:
        self._p = parts
        self._machine = machine
        self._parents = Parents(parts.control, machine, blocked)
        self._drain = drain
        self._blocked = blocked
        self._due: OrderedDict[ProcessId, None] = OrderedDict()
        self._settling = False
        self._told_of_freezing = False  # that it could not be done, which is said once
        self._tries: dict[ProcessId, int] = {}
        self._waits: dict[ProcessId, int] = {}
        self._killed_for: dict[ProcessId, KillOrder] = {}
        self._timers: dict[ProcessId, asyncio.TimerHandle] = {}
        self._watched: set[ProcessId] = set()
        # Over, and still in the kernel's map because it would not forget them.
        self._left: dict[ProcessId, list[HeldKey]] = {}
        self._done: OrderedDict[HeldKey, None] = OrderedDict()
        self.changed = asyncio.Event()

    def commit(self, step: Step) -> None:
        """Journal a step and make it so; raise JournalError, with nothing changed."""
        if not step:
            return
        step = replace(step, says=tuple(map(self._told, step.says)))
        self._p.journal.record(step, self._p.clock.now_ns())
        self._machine.accept(step)
        for hold in step.holds:
            self._p.denials.look(hold, self._p.clock.now_ns())
        self.changed.set()
        if step.says:
            self._p.said()

    def _told(self, say: Say) -> Say:
        """Return a message as it may leave the host: it may quote names, errors and people."""
        words = self._p.redactor.words
        if isinstance(say, HoldOpened):
            return replace(say, not_grantable=words(say.not_grantable))
        return replace(say, detail=words(say.detail), reason=words(say.reason))

    def guard(self, hold: Hold) -> None:
        """See to it that a process with a hold is stopped, and that its end is noticed."""
        process = hold.process
        self._due[process] = None
        try:
            if process not in self._watched and self._p.control.watch_exit(
                process, lambda: self._exited(process)
            ):
                self._watched.add(process)
            # A SIGCONT for an earlier hold takes back a SIGSTOP that was on its way.
            if hold.fate is None and not self._p.control.is_still(process):
                self._p.control.stop(process)
        except ControlError as error:
            self._failed(process, error)

    def freeze(self, process: ProcessId) -> None:
        """Freeze a process that is stopped, so that nobody else can let it run on."""
        try:
            self._p.control.freeze(process)
        except ControlError as error:
            # It is stopped all the same, and the kernel's own guard is there.
            if not self._told_of_freezing:
                self._p.report.notice("not_frozen", str(error))
            self._told_of_freezing = True
            log.warning("%s", error)

    def due(self, process: ProcessId) -> None:
        """Have a process settled at the next `settle`."""
        self._due[process] = None

    def settle(self) -> None:
        """Settle every process that is due; a failure is logged and tried again later."""
        if self._settling:
            return
        self._settling = True
        try:
            while self._due:
                process, _ = self._due.popitem(last=False)
                try:
                    self._settle_one(process)
                except Exception as error:  # top of the loop over processes
                    log.exception("process %s stays held", process)
                    self._failed(process, error)
        finally:
            self._settling = False

    def forget(self, key: HeldKey) -> None:
        """Take an entry out of the kernel's held map, once."""
        if key == NO_KEY or key in self._done:
            return
        self._p.sensor.forget(key)
        self._done[key] = None
        if len(self._done) > _REMEMBERED_KEYS:
            self._done.popitem(last=False)

    def is_over(self, key: HeldKey) -> bool:
        """Return whether an entry of the held map was dealt with and forgotten in this run."""
        return key in self._done

    def close(self) -> None:
        """Stop; what is held stays held."""
        for timer in self._timers.values():
            timer.cancel()
        self._p.control.close()

    def _exited(self, process: ProcessId) -> None:
        self._watched.discard(process)
        self._due[process] = None
        self.settle()

    def _settle_one(self, process: ProcessId) -> None:
        if not self._machine.of(process):
            self._forget_left(process)
            self._drop(process)
        elif not self._p.control.is_alive(process):
            self._gone(process)
        else:
            # What was held a moment ago counts too, before anything runs on.
            self._drain()
            match self._machine.order(process):
                case Release() if self._blocked(process):
                    pass
                case Release() as release:
                    self._release(release)
                case KillOrder() as order:
                    self._kill(order)
                case None:
                    pass

    def _release(self, release: Release) -> None:
        """The only way out: the machine's Release, its grounds journalled before."""
        process = release.process
        if not self._p.control.is_still(process):
            self._await_stop(process)
            return
        # A thread that was still running a moment ago may have met the kernel since. Now that all
        # of them are stopped, what they did is in the map, and nothing comes after this look.
        self._drain()
        if self._blocked(process):
            return
        if self._machine.order(process) != release:
            self._due[process] = None
            return
        # The entry goes first: one that outlived the stop could be taken for a hold of its own.
        # The journal has the decision, should this run end here.
        for hold in self._machine.of(process):
            if hold.key != NO_KEY:
                self._p.sensor.admit(hold.key, refuse=hold.id in release.refused)
            self.forget(hold.key)
        self._p.sensor.unguard(process.pid)
        above = self._parents.above(process)
        found = self._p.control.resume(release)
        self._parents.wake(release, above)
        if found is Resumed.GONE:
            self._gone(process)
            return
        self._over(self._machine.plan_resumed(release, self._p.clock.now_ns()), process)
        if found is Resumed.STOPPED:
            self._drain()
            if not self._machine.of(process):
                self._p.report.notice(
                    "stopped_by_another",
                    f"process {process} was let go and is stopped again, by no hold of ours",
                )

    def _await_stop(self, process: ProcessId) -> None:
        """Look again soon. What is not stopped is never let go: another act may be under way."""
        waits = self._waits.get(process, 0)
        self._waits[process] = waits + 1
        if waits >= _STOP_AGAIN:
            # Not the kernel's SIGSTOP on its way: a SIGCONT has taken it back, ours of an earlier
            # run that did not come to record it, or somebody else's.
            self._p.control.stop(process)
        if waits < len(_STOP_WAITS_S):
            self._at(process, _STOP_WAITS_S[waits])
            return
        raise ControlError(
            f"process {process}: may run on and is not let go, since it is neither stopped nor "
            "frozen: a thread waits in the kernel (state D)"
        )

    def _kill(self, order: KillOrder) -> None:
        """Send SIGKILL; that it worked is known once the process has exited."""
        if order.scope is KillScope.TREE:
            self._killed_for.update(dict.fromkeys(order.others, order))
            killed = self._p.control.kill_tree(order.process, order.others)
            log.info("hold %s: killed %d processes of its tree", order.hold, killed)
        else:
            self._p.control.kill(order.process)
        if order.process not in self._watched:
            self._at(order.process, _RETRY_S[0])

    def _gone(self, process: ProcessId) -> None:
        step = self._machine.plan_gone(
            process, self._p.clock.now_ns(), killed_for=self._killed_for.get(process)
        )
        self._over(step, process)

    def _over(self, step: Step, process: ProcessId) -> None:
        """Record the end of holds, then let the kernel forget them and the process go."""
        self.commit(step)
        self._left[process] = [hold.key for hold in step.holds if hold.finished]
        self._forget_left(process)
        if not self._machine.of(process):
            self._drop(process)

    def _forget_left(self, process: ProcessId) -> None:
        for key in self._left.get(process, ()):
            self.forget(key)
        self._left.pop(process, None)

    def _drop(self, process: ProcessId) -> None:
        self._watched.discard(process)
        for memory in (self._tries, self._waits, self._killed_for):
            memory.pop(process, None)
        self._p.control.drop(process)
        timer = self._timers.pop(process, None)
        if timer is not None:
            timer.cancel()

    def _failed(self, process: ProcessId, error: Exception) -> None:
        """Try again later, and the first time say that there is trouble."""
        tries = self._tries.get(process, 0)
        self._tries[process] = tries + 1
        self._at(process, _RETRY_S[min(tries, len(_RETRY_S) - 1)])
        if tries:
            return
        self._p.report.notice("not_settled", f"process {process}: {error}")
        detail = f"{error}; tried again until it works"
        try:
            self.commit(self._machine.plan_failed(process, detail, self._p.clock.now_ns()))
        except AgentError:
            log.exception("process %s: its trouble cannot be recorded", process)

    def _at(self, process: ProcessId, delay_s: float) -> None:
        old = self._timers.get(process)
        if old is not None:
            old.cancel()
        loop = asyncio.get_running_loop()
        self._timers[process] = loop.call_later(delay_s, self._again, process)

    def _again(self, process: ProcessId) -> None:
        self._timers.pop(process, None)
        self._due[process] = None
        self.settle()

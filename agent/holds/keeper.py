"""Carries out what the hold machine says: the journal first, then signals, then the next step.

Every process with a hold is settled by comparing what its holds say with what it really is, as
often as needed; so a restart, a failed signal and a full disk take the same way as the good case.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from agent.clock import Alarm, Clock
from agent.errors import AgentError, ControlError
from agent.holds.intake import Host, take
from agent.holds.machine import Machine
from agent.holds.model import Hold, Pass, Step, Voice, Why
from agent.journal import Journal, ids_on_disk
from agent.processes import ProcessControl, Resumed
from agent.release import KillOrder, ProcessId, Release
from agent.rulings import Ruled
from agent.sensor.interface import HeldAct, HeldKey, Sensor
from agent.verdicts import Checker, Late, Obey, Refused, Repeated
from wire.acts import Act
from wire.ids import HoldId
from wire.messages import Ground, KillScope
from wire.signing import Verifier

log = logging.getLogger("holdfast.agent.holds")

_RETRY_S = (1.0, 2.0, 5.0, 15.0, 60.0)
# The kernel makes the entry before it sends SIGSTOP; a resume in between would be lost.
_STOP_WAITS_S = (0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5)
_REMEMBERED_KEYS = 65_536


class Report(Protocol):
    """Where the agent says what it has seen and done."""

    def held(
        self, act: Act, *, action: str | None, rule: str | None, hold: HoldId | None, detail: str
    ) -> None:
        """Record one act that was held."""

    def notice(self, name: str, words: str) -> None:
        """Record something that the host itself has to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the keeper works with; all of it can be another in a test."""

    host: Host
    sensor: Sensor
    journal: Journal
    control: ProcessControl
    judge: Callable[[Act], Ruled]
    verifier: Verifier
    report: Report
    clock: Clock
    said: Callable[[], None]  # called when there is something new to publish


class Keeper:
    """Keeps every hold of this host, from the held map to what became of the process."""

    def __init__(self, parts: Parts, alarm: Callable[[Callable[[], None]], Alarm]) -> None:
        self._p = parts
        self._machine = Machine(parts.host.id)
        self._alarm = alarm(self.on_deadline)
        self._changed = asyncio.Event()
        self._due: OrderedDict[ProcessId, None] = OrderedDict()
        self._settling = False
        self._tries: dict[ProcessId, int] = {}
        self._waits: dict[ProcessId, int] = {}
        self._killed_for: dict[ProcessId, KillOrder] = {}
        self._timers: dict[ProcessId, asyncio.TimerHandle] = {}
        self._watched: set[ProcessId] = set()
        self._done: OrderedDict[HeldKey, None] = OrderedDict()
        self._stuck: dict[HeldKey, HeldAct] = {}
        self._stuck_timer: asyncio.TimerHandle | None = None
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._checker = Checker(
            host=parts.host.id,
            boot_id=parts.host.boot_id,
            verifier=parts.verifier,
            find=lambda hold: self._machine.get(hold) or parts.journal.get(hold),
            used=parts.journal.used,
        )

    # -- what comes in ------------------------------------------------------------------------

    def start(self) -> int:
        """Take up what is held, from the kernel's map and the journal; return how many wait.

        Everything is registered before anything runs on: a process may have several holds.
        """
        self._p.journal.prune(self._p.clock.now_ns())
        if self._p.journal.moved is not None:
            self._p.report.notice(
                "journal_damaged",
                f"put aside as {self._p.journal.moved}; open holds are asked about anew",
            )
        known = ids_on_disk(self._p.journal.unfinished())
        for hold in known.values():
            self._take_up(hold)
        for held in self._p.sensor.all_holds():
            if (held.key, ProcessId.of(held.act.process), held.act.boot_ns) not in known:
                self._take(held)
        self.on_deadline()
        return len(self._machine)

    def on_holds(self) -> None:
        """Take up what the kernel has held since the last time."""
        self._drain()
        self._settle()

    def on_deadline(self) -> None:
        """End the wait of what is due, and set the alarm for what is next."""
        try:
            self._expire()
        except AgentError:
            log.exception("deadlines wait for the journal; everything stays held")
            self._deadline_timer = asyncio.get_running_loop().call_later(
                _RETRY_S[2], self.on_deadline
            )
        self._settle()

    def on_verdict(self, data: bytes, headers: dict[str, str] | None) -> None:
        """Obey a message of the verdict stream if it deserves it; it is dealt with on return.

        Raises JournalError if the disk refuses: then nothing was decided, and it must come again.
        """
        # The host's clock decides: a deadline that has come counts before any answer.
        self._expire()
        outcome = self._checker.check(data, headers, self._p.clock.boot_ns())
        now_ns = self._p.clock.now_ns()
        match outcome:
            case Obey(verdict):
                hold = self._machine.get(verdict.hold)
                self._commit(self._machine.plan_answer(verdict, now_ns))
                if hold is not None:
                    self._due[hold.process] = None
            case Late(verdict, hold):
                self._commit(self._machine.plan_late(hold, verdict, now_ns))
            case Repeated():
                pass
            case Refused(reason):
                log.warning("verdict refused: %s", reason)
                self._p.report.notice("verdict_refused", reason)
        self._settle()

    def release_all(self, reason: str, by: str) -> int:
        """Let go of everything nobody has denied, on the ground `emergency`; return how many."""
        self._drain()
        why = Why(ground=Ground.EMERGENCY, by=by, reason=reason)
        step = self._machine.plan_release_all(why, self._p.clock.now_ns())
        return self._all(step, "release_all", why)

    def kill_all(self, reason: str, by: str) -> int:
        """Kill everything that is held, on the ground `emergency`; return how many holds."""
        self._drain()
        why = Why(ground=Ground.EMERGENCY, by=by, reason=reason)
        step = self._machine.plan_kill_all(why, self._p.clock.now_ns())
        return self._all(step, "kill_all", why)

    async def end_all(self, reason: str, by: str) -> None:
        """Kill everything that is held, and what comes to be held meanwhile, until none is left."""
        while True:
            for held in self._p.sensor.all_holds():
                self._take(held)
            if not self._machine:
                return
            self.kill_all(reason, by)
            await self.settled()

    async def settled(self) -> None:
        """Return once no hold is open."""
        while self._machine:
            self._changed.clear()
            await self._changed.wait()

    def holds(self) -> list[Hold]:
        """Return every hold that is not over."""
        return list(self._machine)

    def stuck(self) -> list[HeldAct]:
        """Return what is held and could not be taken up; it stays held and is tried again."""
        return list(self._stuck.values())

    def close(self) -> None:
        """Stop working; what is held stays held."""
        self._alarm.close()
        for timer in (*self._timers.values(), self._stuck_timer, self._deadline_timer):
            if timer is not None:
                timer.cancel()
        self._p.control.close()

    # -- taking up ----------------------------------------------------------------------------

    def _take_up(self, hold: Hold) -> None:
        """Go on with a hold of an earlier run, or of an earlier boot."""
        self._machine.accept(Step(holds=(hold,)))
        if hold.boot_id != self._p.host.boot_id:
            now_ns = self._p.clock.now_ns()
            cause = "the host was started anew and the process is gone"
            self._commit(self._machine.plan_gone(hold.process, now_ns, cause=cause))
            return
        self._guard(hold)

    def _drain(self) -> None:
        for held in self._p.sensor.new_holds():
            self._take(held)

    def _retry_stuck(self) -> None:
        self._stuck_timer = None
        for held in list(self._stuck.values()):
            self._take(held)
        self._settle()

    def _take(self, held: HeldAct) -> None:
        if held.key in self._done or self._machine.has(held.key):
            return
        try:
            self._open(held)
            self._stuck.pop(held.key, None)
        except Exception as error:  # top of the loop over held acts; one must not stop the others
            log.exception("held act %s of process %s", held.key, held.act.process.pid)
            if held.key not in self._stuck:
                self._p.report.notice("hold_not_taken_up", f"it stays held: {error}")
            self._stuck[held.key] = held
            if self._stuck_timer is None:
                self._stuck_timer = asyncio.get_running_loop().call_later(
                    _RETRY_S[2], self._retry_stuck
                )

    def _open(self, held: HeldAct) -> None:
        ruled = self._p.judge(held.act)
        now_ns, boot_ns = self._p.clock.now_ns(), self._p.clock.boot_ns()
        hold, opened = take(held, ruled, self._p.host, boot_ns=boot_ns, now_ns=now_ns)
        if self._p.journal.is_over(hold) and not self._p.control.is_alive(hold.process):
            # An earlier run recorded its end and had no time to tell the kernel.
            self._forget(held.key)
            return
        self._commit(self._machine.plan_open(hold, opened, now_ns))
        self._guard(hold)
        self._report(held, hold, ruled)
        self._set_alarm()

    def _report(self, held: HeldAct, hold: Hold, ruled: Ruled) -> None:
        detail = ""
        if isinstance(hold.fate, Pass):
            detail = f"let go: ground {hold.fate.why.ground}"
        self._p.report.held(
            held.act,
            action=ruled.action.value if ruled.action else None,
            rule=ruled.rule.id if ruled.rule else None,
            hold=None if hold.voice is Voice.QUIET else hold.id,
            detail=detail,
        )

    def _pass_stuck(self, why: Why) -> int:
        """In an emergency, let go of what could not even be taken up; its event says so."""
        stuck = list(self._stuck.values())
        for held in stuck:
            nothing = Ruled(action=None, rule=None)
            now_ns, boot_ns = self._p.clock.now_ns(), self._p.clock.boot_ns()
            hold, _ = take(held, nothing, self._p.host, boot_ns=boot_ns, now_ns=now_ns)
            hold = replace(hold, fate=Pass(why))
            self._commit(self._machine.plan_open(hold, None, now_ns))
            self._stuck.pop(held.key, None)
            self._guard(hold)
            self._report(held, hold, nothing)
        return len(stuck)

    def _guard(self, hold: Hold) -> None:
        """See to it that a process with a hold is stopped, and that its end is noticed."""
        process = hold.process
        self._due[process] = None
        try:
            if process not in self._watched and self._p.control.watch_exit(
                process, lambda: self._exited(process)
            ):
                self._watched.add(process)
            # A SIGCONT for an earlier hold takes back a SIGSTOP that was on its way.
            if hold.fate is None and not self._p.control.is_stopped(process):
                self._p.control.stop(process)
        except ControlError as error:
            self._failed(process, error)

    def _exited(self, process: ProcessId) -> None:
        self._watched.discard(process)
        self._due[process] = None
        self._settle()

    # -- settling -----------------------------------------------------------------------------

    def _settle(self) -> None:
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

    def _settle_one(self, process: ProcessId) -> None:
        if not self._machine.of(process):
            self._drop(process)
        elif not self._p.control.is_alive(process):
            self._gone(process)
        else:
            # What was held a moment ago counts too, before anything runs on.
            self._drain()
            match self._machine.order(process):
                case Release() as release:
                    self._release(release)
                case KillOrder() as order:
                    self._kill(order)
                case None:
                    pass

    def _release(self, release: Release) -> None:
        """The only way out: the machine's Release, its grounds journalled before."""
        process, waits = release.process, self._waits.get(release.process, 0)
        if waits < len(_STOP_WAITS_S) and not self._p.control.is_stopped(process):
            self._waits[process] = waits + 1
            self._at(process, _STOP_WAITS_S[waits])
            return
        # While the kernel has the entry it stops the process again after a SIGCONT.
        for hold in self._machine.of(process):
            self._forget(hold.key)
        found = self._p.control.resume(release)
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
        self._commit(step)
        for hold in step.holds:
            if hold.finished:
                self._forget(hold.key)
        if not self._machine.of(process):
            self._drop(process)

    def _drop(self, process: ProcessId) -> None:
        self._watched.discard(process)
        for memory in (self._tries, self._waits, self._killed_for):
            memory.pop(process, None)
        self._p.control.drop(process)
        timer = self._timers.pop(process, None)
        if timer is not None:
            timer.cancel()

    def _forget(self, key: HeldKey) -> None:
        if key in self._done:
            return
        self._p.sensor.forget(key)
        self._done[key] = None
        if len(self._done) > _REMEMBERED_KEYS:
            self._done.popitem(last=False)

    # -- small things -------------------------------------------------------------------------

    def _expire(self) -> None:
        step = self._machine.plan_expire(self._p.clock.boot_ns(), self._p.clock.now_ns())
        self._commit(step)
        for hold in step.holds:
            self._due[hold.process] = None
        self._set_alarm()

    def _set_alarm(self) -> None:
        self._alarm.set(self._machine.next_deadline())

    def _all(self, step: Step, name: str, why: Why) -> int:
        self._commit(step)
        count = len(step.holds)
        if name == "release_all":
            count += self._pass_stuck(why)
        self._p.report.notice(name, f"{count} holds, by {why.by}: {why.reason}")
        for process in self._machine.processes():
            self._due[process] = None
        self._settle()
        return count

    def _commit(self, step: Step) -> None:
        if not step:
            return
        self._p.journal.record(step, self._p.clock.now_ns())
        self._machine.accept(step)
        self._changed.set()
        if step.says:
            self._p.said()

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
            self._commit(self._machine.plan_failed(process, detail, self._p.clock.now_ns()))
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
        self._settle()

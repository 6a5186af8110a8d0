"""Keeps every hold of a host: takes up what the kernel has held, and hears what decides it."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from agent.clock import Alarm
from agent.errors import AgentError
from agent.holds.folded import Folded
from agent.holds.intake import attempt_words, newly_ruled
from agent.holds.machine import Machine
from agent.holds.model import Doom, Hold, Pass, Step, Why
from agent.holds.settler import Parts, Settler
from agent.holds.taking import Taking
from agent.holds.uses import Uses
from agent.orders.desk import Desk
from agent.release import ProcessId
from agent.sensor.interface import NO_KEY, HeldAct, Resume
from agent.verdicts import Checker, Late, Obey, Refused, Repeated
from wire.messages import Ground, KillScope
from wire.redaction.marks import has_marks

log = logging.getLogger("holdfast.agent.holds")

_AGAIN_S = 5.0


class Keeper:
    """Keeps every hold of this host, from the held map to what became of the process."""

    def __init__(self, parts: Parts, alarm: Callable[[Callable[[], None]], Alarm]) -> None:
        self._p = parts
        self._machine = Machine(parts.host.id)
        self._alarm = alarm(self.on_deadline)
        self._settler = Settler(parts, self._machine, drain=self._drain, blocked=self._is_blocked)
        self._desk = Desk(parts, self._machine, self._settler)
        self.warden = self._desk.warden
        self._folded = Folded(parts)
        self._taking = Taking(
            parts, self._machine, self._settler, self._desk, self._folded, self._set_alarm
        )
        self._uses = Uses(parts, self._machine, self._settler, self._desk)
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
                f"put aside as {self._p.journal.moved}; open holds are asked about anew, and no "
                "grant of before counts",
            )
            self._p.journal.orders.note_loss(self._p.clock.now_ns())
        held = {
            (entry.key, ProcessId.of(entry.act.process), entry.act.boot_ns): entry
            for entry in self._p.sensor.all_holds()
        }
        for hold in self._p.journal.unfinished():
            entry = held.pop((hold.key, hold.process, hold.act_boot_ns), None)
            if entry is None:
                self._take_up(replace(hold, key=NO_KEY))
            else:
                act = None if entry.unread else entry.act
                self._take_up(replace(hold, subject=entry.act.subject, act=act))
        # Before anything is settled: what the kernel has let pass was used.
        self._uses.record()
        self._folded.tell_all()
        self._desk.passes.compare()
        for entry in held.values():
            self._taking.take(entry)
        self._settle_by_orders()
        self._desk.passes.sync()
        self.on_deadline()
        return len(self._machine)

    def on_holds(self) -> None:
        """Take up what the kernel has held, and who has meddled with it, since the last time."""
        self._uses.record()
        self._drain()
        for attempt in self._p.sensor.new_resumes():
            self._note_attempt(attempt)
        self.warden.on_caught()
        self._settler.settle()

    def on_deadline(self) -> None:
        """End the wait of what is due, and set the alarm for what is next."""
        try:
            self._expire()
        except AgentError:
            log.exception("deadlines wait for the journal; everything stays held")
            self._deadline_timer = asyncio.get_running_loop().call_later(_AGAIN_S, self.on_deadline)
        self._settler.settle()

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
                step = self._machine.plan_answer(verdict, now_ns)
                self._settler.commit(step)
                if hold is not None:
                    self._folded.denied(step.holds[0])
                    self._settler.due(hold.process)
            case Late(verdict, hold):
                self._settler.commit(self._machine.plan_late(hold, verdict, now_ns))
            case Repeated():
                pass
            case Refused(reason):
                log.warning("verdict refused: %s", reason)
                self._p.report.notice("verdict_refused", reason)
        self._settler.settle()

    def on_order(self, data: bytes, headers: dict[str, str] | None) -> None:
        """Obey a message of the stream of orders if it deserves it; it is dealt with on return.

        Raises JournalError if the disk refuses: then nothing was done, and it must come again.
        """
        self._uses.record()
        self._drain()
        self._expire()
        self._folded.tell_all()  # a grant may let pass what is refused just now
        self._desk.on_order(data, headers)

    def on_rules(self) -> int:
        """Settle what waits and a newer rule lets pass or denies; return how many holds.

        Raises JournalError if the disk refuses; what it did not take waits on.
        """
        self._drain()
        self._expire()
        self._folded.tell_all()
        count = 0
        for hold in self._machine:
            opened = self._p.journal.opened(hold.id) if hold.waiting else None
            if opened is None:
                continue
            act = hold.act or opened.act
            if hold.act is None and has_marks(act):
                continue  # what it was exactly is not known any more, so people decide
            ruled = self._p.judge(act)
            fate = newly_ruled(ruled)
            if fate is None or ruled.action is None:
                continue
            detail = f"a newer rule settles it: {fate.why.reason} says {ruled.action}"
            now_ns = self._p.clock.now_ns()
            self._settler.commit(self._machine.plan_ruled(hold, fate, detail, now_ns))
            self._settler.due(hold.process)
            count += 1
        self._desk.passes.sync()
        self._settler.settle()
        return count

    def release_all(self, reason: str, by: str) -> int:
        """Let go of everything nobody has denied, on the ground `emergency`; return how many."""
        self._drain()
        why = Why(ground=Ground.EMERGENCY, by=by, reason=self._p.redactor.words(reason))
        step = self._machine.plan_release_all(why, self._p.clock.now_ns())
        return self._all(step, "release_all", Pass(why))

    def kill_all(self, reason: str, by: str) -> int:
        """Kill everything that is held, on the ground `emergency`; return how many holds."""
        self._drain()
        why = Why(ground=Ground.EMERGENCY, by=by, reason=reason)
        step = self._machine.plan_kill_all(why, self._p.clock.now_ns())
        return self._all(step, "kill_all", Doom(why, KillScope.PROCESS))

    async def end_all(self, reason: str, by: str) -> None:
        """Kill everything that is held, and what comes to be held meanwhile, until none is left.

        Whoever a quarantine keeps stopped is killed too: there will be nobody to let it go.
        """
        self.warden.kill_all()
        while True:
            for held in self._p.sensor.all_holds():
                self._taking.take(held)
            if not self._machine and not self._taking.stuck():
                return
            self.kill_all(reason, by)
            await self.settled()

    async def settled(self) -> None:
        """Return once no hold is open."""
        while self._machine:
            self._settler.changed.clear()
            await self._settler.changed.wait()

    def holds(self) -> list[Hold]:
        """Return every hold that is not over."""
        return list(self._machine)

    def denied_again(self) -> int:
        """Return how many denials were not told one by one since the agent started."""
        return self._folded.total

    def stuck(self) -> list[HeldAct]:
        """Return what is held and could not be taken up; it stays held and is tried again."""
        return self._taking.stuck()

    def close(self) -> None:
        """Stop working; what is held stays held."""
        self._alarm.close()
        self.warden.close()
        self._taking.close()
        self._folded.close()
        self._uses.close()
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        self._settler.close()

    # -- what was there, and what is seen -----------------------------------------------------

    def _take_up(self, hold: Hold) -> None:
        """Go on with a hold of an earlier run, or of an earlier boot."""
        if (opened := self._p.journal.opened(hold.id)) is not None:
            self._p.denials.seen(hold.id, opened.act)
        self._machine.accept(Step(holds=(hold,)))
        if hold.boot_id != self._p.host.boot_id:
            now_ns = self._p.clock.now_ns()
            cause = "the host was started anew and the process is gone"
            self._settler.commit(self._machine.plan_gone(hold.process, now_ns, cause=cause))
            return
        if hold.fate is None:
            self._settler.freeze(hold.process)
        self._settler.guard(hold)

    def _drain(self) -> None:
        self._taking.drain()

    def _note_attempt(self, attempt: Resume) -> None:
        """Tell the reviewers of a request, and the trail, who tried to let its process run on."""
        process = ProcessId(attempt.pid, attempt.start_ns)
        words = attempt_words(attempt)
        self._p.report.notice("resumed_by_another", f"process {process}: {words}")
        self._note(self._machine.of(process), words)

    def _note(self, holds: list[Hold], words: str) -> None:
        try:
            self._settler.commit(self._machine.plan_note(holds, words, self._p.clock.now_ns()))
        except AgentError:
            log.exception("a note about %d requests cannot be recorded: %s", len(holds), words)

    def _is_blocked(self, process: ProcessId) -> bool:
        return self.warden.keeps(process) or self._taking.is_stuck(process)

    def _settle_by_orders(self) -> None:
        """Settle what an earlier run took an order for, and did not come to settle."""
        try:
            self._desk.settle_waiting()
        except AgentError:
            log.exception("what waits is not settled by orders yet; it stays held")

    # -- small things -------------------------------------------------------------------------

    def _expire(self) -> None:
        step = self._machine.plan_expire(self._p.clock.boot_ns(), self._p.clock.now_ns())
        self._settler.commit(step)
        for hold in step.holds:
            self._folded.denied(hold)
            self._settler.due(hold.process)
        self._set_alarm()

    def _set_alarm(self) -> None:
        self._alarm.set(self._machine.next_deadline())

    def _all(self, step: Step, name: str, fate: Pass | Doom) -> int:
        self._settler.commit(step)
        count = len(step.holds) + self._taking.end_stuck(fate)
        self._p.report.notice(name, f"{count} holds, by {fate.why.by}: {fate.why.reason}")
        for process in self._machine.processes():
            self._settler.due(process)
        self._settler.settle()
        return count

"""Makes a hold of each act that the kernel has held, or tries again until it can; it stays held."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from agent.errors import SensorError
from agent.holds.beyond import Beyond
from agent.holds.ended import Ended
from agent.holds.folded import Folded, tired
from agent.holds.intake import over_cap, quarantined, take
from agent.holds.machine import Machine
from agent.holds.model import Doom, Hold, Limit, Pass, Step, Voice
from agent.holds.settler import Parts, Settler
from agent.orders.desk import Desk
from agent.release import ProcessId
from agent.rulings import Ruled
from agent.sensor.interface import HeldAct, HeldKey
from rules.model import Action
from wire.messages import HoldOpened

log = logging.getLogger("holdfast.agent.holds")

_AGAIN_S = 5.0


class Taking:
    """Takes up held acts: asked about, let pass by a grant, or denied at once."""

    def __init__(
        self,
        parts: Parts,
        machine: Machine,
        settler: Settler,
        desk: Desk,
        folded: Folded,
        opened: Callable[[], None],
    ) -> None:
        """`opened` is called after each hold that was made."""
        self._p = parts
        self._machine = machine
        self._settler = settler
        self._desk = desk
        self._folded = folded
        self._opened = opened
        self._beyond = Beyond(parts, machine, settler)
        self._ended = Ended(parts.judge, parts.report)
        self._stuck: dict[HeldKey, HeldAct] = {}
        self._stuck_timer: asyncio.TimerHandle | None = None
        self._unknown: set[str] = set()

    def close(self) -> None:
        """Try nothing again; what is held stays held."""
        self._beyond.close()
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()

    def stuck(self) -> list[HeldAct]:
        """Return what is held and could not be taken up; it stays held and is tried again."""
        return list(self._stuck.values())

    def is_stuck(self, process: ProcessId) -> bool:
        """Return whether an act of this process could not be taken up."""
        return any(ProcessId.of(held.act.process) == process for held in self._stuck.values())

    def drain(self) -> None:
        """Take what the kernel has held since the last time."""
        for held in self._p.fresh():
            self.take(held)

    def take(self, held: HeldAct) -> None:
        """Make a hold of it, unless it is one already; on failure it is tried again later."""
        if self._settler.is_over(held.key) or self._machine.has(held.key):
            self._stuck.pop(held.key, None)
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
                    _AGAIN_S, self._retry_stuck
                )

    def end_stuck(self, fate: Pass | Doom) -> int:
        """Decide what could not even be taken up, quietly: only its event can say so.

        Returns how many acts.
        """
        stuck = list(self._stuck.values())
        for held in stuck:
            nothing = Ruled(action=None, rule=None)
            now_ns, boot_ns = self._p.clock.now_ns(), self._p.clock.boot_ns()
            shown = self._p.redactor.act(held.act)
            hold, _ = take(held, shown, nothing, self._p.host, boot_ns=boot_ns, now_ns=now_ns)
            hold = replace(hold, fate=fate)
            self._settler.commit(self._machine.plan_open(hold, None, now_ns))
            self._stuck.pop(held.key, None)
            self._settler.guard(hold)
            self._report(held, hold, nothing)
        return len(stuck)

    def _retry_stuck(self) -> None:
        self._stuck_timer = None
        for held in list(self._stuck.values()):
            self.take(held)
            self._settler.due(ProcessId.of(held.act.process))
        self._settler.settle()

    def _open(self, held: HeldAct) -> None:
        if held.unread:
            # Whose it is may be what cannot be read, so it stays even if that process is gone.
            raise SensorError(held.unread)
        if held.ended:
            self._ended.note(held.act)
            return
        ruled = self._p.judge(held.act)
        shown = self._p.redactor.act(held.act)
        now_ns, boot_ns = self._p.clock.now_ns(), self._p.clock.boot_ns()
        hold, opened = take(held, shown, ruled, self._p.host, boot_ns=boot_ns, now_ns=now_ns)
        if self._p.journal.is_over(hold) and not self._p.control.is_alive(hold.process):
            # An earlier run recorded its end and had no time to tell the kernel.
            self._settler.forget(held.key)
            return
        self._p.denials.seen(hold.id, shown)
        if opened is not None:
            claim = self._p.claims.of(held.act.session, now_ns)
            opened = replace(
                opened, claim=claim.text, claim_ns=claim.time_ns, session_name=claim.name
            )
        step = self._plan(held, hold, opened, now_ns)
        hold = step.holds[0]
        if opened is not None and not step.uses:
            self._desk.passes.seen(hold.id, held.act, held.key)
        if hold.fate is None:
            # Before the disk: until then only the stop stands between the process and its act.
            self._settler.freeze(hold.process)
        self._settler.commit(step)
        if step.uses:
            self._desk.passes.sync()
        self._settler.guard(hold)
        self._report(held, hold, ruled)
        if hold.capped in (Limit.SESSION, Limit.SUBJECT):
            self._beyond.denied(hold)
        self._note_unknown(held.act.subject)
        self._opened()

    def _plan(self, held: HeldAct, hold: Hold, opened: HoldOpened | None, now_ns: int) -> Step:
        """Return the first step of a hold: asked about, let pass by a grant, or denied at once."""
        quarantine = self._desk.quarantine_of(held.act.subject)
        if quarantine is not None:
            # Whatever its act comes to, and whoever belongs to it since the warden has looked.
            self._desk.warden.stop(hold.process, held.act.subject)
            if opened is not None:
                hold, opened = quarantined(hold, quarantine), None
        if opened is None:
            return self._machine.plan_open(self._folded.quiet(hold), None, now_ns)
        opened, grant = self._desk.judge(opened, held.act)
        if grant is not None:
            self._desk.passes.used(grant, held.act, held.key)
            return self._machine.plan_granted(hold, opened, grant, now_ns)
        if self._folded.is_tired_of(hold, held.act):
            return self._machine.plan_open(self._folded.quiet(tired(hold)), None, now_ns)
        limit = self._beyond.reached(hold)
        if limit is not None:
            capped = self._folded.quiet(over_cap(hold, limit))
            return self._machine.plan_open(capped, None, now_ns)
        return self._machine.plan_open(hold, opened, now_ns)

    def _note_unknown(self, subject: str) -> None:
        if subject in self._p.host.responsible or subject in self._unknown:
            return
        self._unknown.add(subject)
        words = (
            f"{subject!r} is no subject of agent.toml, and processes run under that name; rules "
            "for any subject are taken as rules for it, and nobody is known to answer for it. "
            "Start them anew"
        )
        log.warning("unknown subject: %s", words)
        self._p.report.notice("unknown_subject", words)

    def _report(self, held: HeldAct, hold: Hold, ruled: Ruled) -> None:
        detail = ""
        unasked = isinstance(hold.fate, Doom) and hold.voice is Voice.QUIET
        if hold.fate is not None:
            done = "let go" if isinstance(hold.fate, Pass) else "killed"
            if isinstance(hold.fate, Doom) and hold.fate.refuse:
                done = "refused"
            detail = f"{done}: ground {hold.fate.why.ground}"
            if hold.capped is Limit.REPEATS:
                detail += "; this very act was denied so often of late that nobody is asked again"
            elif hold.capped:
                detail += f"; its {hold.capped} has as many requests waiting as it may have"
            elif unasked:
                detail += f"; {held.act.subject!r} is under quarantine by {hold.fate.why.by}"
        if hold.folded:
            self._folded.count(hold, held.act, detail)
            return
        self._p.report.held(
            held.act,
            action=Action.DENY.value if unasked else ruled.action and ruled.action.value,
            rule=ruled.rule.id if ruled.rule else None,
            hold=None if hold.voice is Voice.QUIET else hold.id,
            detail=detail,
        )

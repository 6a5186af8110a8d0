"""Tells of what is denied of sessions and subjects at their limit: the centre, and the trail."""

import asyncio
import logging

from agent.errors import AgentError
from agent.holds.cap import SessionCap, Tally
from agent.holds.machine import Machine
from agent.holds.model import Hold, Limit
from agent.holds.settler import Parts, Settler
from agent.holds.subject_cap import SubjectCap

log = logging.getLogger("holdfast.agent.beyond")


class Beyond:
    """Counts what each session is denied beyond its limit, and tells of it with growing pauses.

    It is told on every request of the session that waits, so that it lives as long as they do.
    """

    def __init__(self, parts: Parts, machine: Machine, settler: Settler) -> None:
        self._p = parts
        self._machine = machine
        self._settler = settler
        self._cap = SessionCap(parts.host.holds_per_session)
        self._subjects = SubjectCap(machine, parts.host.holds_per_subject)
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def reached(self, hold: Hold) -> Limit | None:
        """Return of whom too many requests wait for a new hold to wait too, None if it may."""
        if not self._subjects.admits(hold.subject):
            return Limit.SUBJECT
        waiting = len(self._machine.waiting(hold.session))
        return None if self._cap.admits(hold.session, waiting) else Limit.SESSION

    def denied(self, hold: Hold) -> None:
        """Count one that was denied; call it once that is recorded."""
        if hold.capped is Limit.SUBJECT:
            self._denied_of(hold.subject)
        else:
            self._denied_in(hold.session)

    def _denied_of(self, subject: str) -> None:
        words, asked = self._subjects.deny(subject)
        if not words:
            return
        self._p.report.notice("subject_capped", f"{subject!r}: {words}")
        step = self._machine.plan_note(asked, words, self._p.clock.now_ns())
        try:
            self._settler.commit(step)
        except AgentError:
            log.exception("%r: that it is capped cannot be noted", subject)

    def _denied_in(self, session: str) -> None:
        waiting = self._machine.waiting(session)
        if not waiting:
            return
        if self._cap.get(session) is None:
            gone = [one for one in self._cap.sessions if not self._machine.waiting(one)]
            self._cap.forget(gone)
        tally = self._cap.deny(session, waiting[0].id)
        if tally.noted:
            self._p.report.notice("session_capped", f"session {session}: {tally.words}")
        if session not in self._timers:
            self._tell(session, tally)

    def close(self) -> None:
        """Tell nothing more."""
        for timer in self._timers.values():
            timer.cancel()

    def _tell(self, session: str, tally: Tally) -> None:
        pause_s = tally.tell()
        loop = asyncio.get_running_loop()
        self._timers[session] = loop.call_later(pause_s, self._paused, session)
        step = self._machine.plan_capped(
            self._machine.waiting(session),
            tally.summary,
            tally.denied,
            tally.words,
            self._p.clock.now_ns(),
        )
        try:
            self._settler.commit(step)
        except AgentError:
            log.exception("session %s: that it is capped is told later", session)
            tally.told = 0

    def _paused(self, session: str) -> None:
        del self._timers[session]
        tally = self._cap.get(session)
        if tally is not None and tally.told < tally.denied:
            self._tell(session, tally)

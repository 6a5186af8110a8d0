"""Records what the kernel has let pass by grants: each use is a request that was never held."""

import asyncio
import logging
from dataclasses import replace

from agent.errors import JournalError
from agent.holds.intake import take
from agent.holds.machine import Machine
from agent.holds.model import Step
from agent.holds.settler import Parts, Settler
from agent.orders.desk import Desk
from agent.sensor.interface import NO_KEY, HeldAct, Use

log = logging.getLogger("holdfast.agent.holds")

_AGAIN_S = 5.0


class Uses:
    """The uses that the kernel tells of."""

    def __init__(self, parts: Parts, machine: Machine, settler: Settler, desk: Desk) -> None:
        self._p = parts
        self._machine = machine
        self._settler = settler
        self._desk = desk
        self._timer: asyncio.TimerHandle | None = None

    def record(self) -> None:
        """Write down each use since the last time; never raises.

        What the disk does not take stays in the ring and comes again, with all that follow it; once
        that is full, the kernel holds what it could not tell.
        """
        for use in self._p.sensor.permits.uses():
            try:
                self._record(use)
            except JournalError:
                log.exception("a use of grant %s is not recorded yet", use.order)
                self.close()
                self._timer = asyncio.get_running_loop().call_later(_AGAIN_S, self.record)
                return
            except Exception as error:  # top of the loop over uses; one must not stop the others
                log.exception("a use of grant %s", use.order)
                self._p.report.notice("use_not_recorded", f"grant {use.order}: {error}")

    def close(self) -> None:
        """Try nothing again."""
        if self._timer is not None:
            self._timer.cancel()

    def _record(self, use: Use) -> None:
        act = self._p.sensor.act_of_use(use)
        ruled = self._p.judge(act)
        now_ns, boot_ns = self._p.clock.now_ns(), self._p.clock.boot_ns()
        held = HeldAct(key=NO_KEY, act=act)
        shown = self._p.redactor.act(act)
        hold, opened = take(held, shown, ruled, self._p.host, boot_ns=boot_ns, now_ns=now_ns)
        grant = self._desk.grant(use.order) if use.order else None
        if self._p.journal.is_over(hold):
            return  # an earlier run has recorded it, and was killed before it took the next one
        detail = f"let pass by the kernel: ground grant {use.order or 'that is not known here'}"
        if opened is None or grant is None:
            # The rules have changed since, or the journal was lost: no request can be shown.
            if grant is not None:
                self._settler.commit(Step(spent=(grant.order,)))
            self._p.report.held(act, action=None, rule=None, hold=None, detail=detail)
            return
        claim = self._p.claims.of(act.session, now_ns)
        opened = replace(
            opened,
            grant=grant.order,
            claim=claim.text,
            claim_ns=claim.time_ns,
            session_name=claim.name,
        )
        step = self._machine.plan_used(hold, opened, grant, now_ns)
        self._settler.commit(step)
        self._p.report.held(
            act,
            action=ruled.action and ruled.action.value,
            rule=ruled.rule.id if ruled.rule else None,
            hold=hold.id,
            detail=detail,
        )

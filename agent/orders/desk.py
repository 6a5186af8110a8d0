"""Takes orders of the centre, and settles what waits by them: grants let pass, quarantines deny."""

import logging

from agent.holds.machine import Machine
from agent.holds.model import Hold, Voice
from agent.holds.settler import Parts, Settler
from agent.orders.check import Known, New, OrderChecker, Refused
from agent.orders.grants import Grants
from agent.orders.passes import Passes
from agent.orders.warden import Warden
from agent.release import ProcessId
from wire.acts import Act
from wire.ids import OrderId, request_of
from wire.messages import HoldOpened
from wire.orders import Grant, GrantRevoked, Order, Quarantine, QuarantineLifted

log = logging.getLogger("holdfast.agent.orders")


class Desk:
    """The orders of this host, for the keeper of its holds."""

    def __init__(self, parts: Parts, machine: Machine, settler: Settler) -> None:
        self._p = parts
        self._machine = machine
        self._settler = settler
        self._store = parts.journal.orders
        self._checker = OrderChecker(
            host=parts.host.id,
            boot_id=parts.host.boot_id,
            verifier=parts.verifier,
            store=self._store,
        )
        self.passes = Passes(
            self._store,
            parts.sensor,
            parts.judge,
            parts.clock,
            boot_id=parts.host.boot_id,
            notice=parts.report.notice,
        )
        self._grants = Grants(
            self._store,
            parts.programs,
            parts.clock,
            parts.host.boot_id,
            take=self.passes.take,
        )
        self.warden = Warden(
            self._store,
            parts.sensor,
            parts.control,
            boot_id=parts.host.boot_id,
            holds=self._has_hold,
            notice=parts.report.notice,
        )

    def judge(self, opened: HoldOpened, act: Act) -> tuple[HoldOpened, Grant | None]:
        """Return what the centre is told of a hold, and the grant that covers it, if one does."""
        return self._grants.judge(opened, act)

    def grant(self, order: OrderId) -> Grant | None:
        """Return a grant that was taken once, whether in force or not."""
        found = self._store.get(order)
        return found if isinstance(found, Grant) else None

    def quarantine_of(self, subject: str) -> Quarantine | None:
        """Return the quarantine of a subject that is in force, None if there is none."""
        return self._store.quarantine_of(subject)

    def on_order(self, data: bytes, headers: dict[str, str] | None) -> None:
        """Obey a message of the stream of orders if it deserves it; it is dealt with on return.

        Raises JournalError if the disk refuses: then nothing was done, and it must come again.
        """
        boot_ns, now_ns = self._p.clock.boot_ns(), self._p.clock.now_ns()
        match self._checker.check(data, headers, boot_ns=boot_ns, now_ns=now_ns):
            case New(order):
                self._store.take(order, now_ns)
                self._obey(order)
            case Known(order):
                # An earlier run may have been killed between taking it and settling what waited.
                self._obey(order)
            case Refused(reason):
                log.warning("order refused: %s", reason)
                self._p.report.notice("order_refused", reason)
        self._settler.settle()

    def settle_waiting(self) -> None:
        """Settle what waits by the orders that there are; raise JournalError."""
        for hold in self._machine:
            if hold.waiting and hold.voice is Voice.ASKED:
                self._settle(hold)

    def _has_hold(self, process: ProcessId) -> bool:
        return any(one.tick == process.tick for one in self._machine.processes())

    def _obey(self, order: Order) -> None:
        if isinstance(order, GrantRevoked | Quarantine):
            self.passes.sync()  # before anything else: nothing more passes by it
        match order:
            case Grant() | Quarantine():
                self.settle_waiting()
            case GrantRevoked():
                log.info("grant %s is revoked by %s", order.grant, order.by)
            case QuarantineLifted():
                log.info("quarantine %s is lifted by %s", order.quarantine, order.by)
        if isinstance(order, Quarantine | QuarantineLifted):
            self.warden.look()
            for process in self._machine.processes():
                self._settler.due(process)
        if isinstance(order, Grant | QuarantineLifted):
            self.passes.sync()

    def _settle(self, hold: Hold) -> None:
        opened = self._p.journal.opened(hold.id)
        if opened is None:
            return
        order: Grant | Quarantine | None = self.quarantine_of(opened.act.subject)
        if order is None:
            # The request that it was made with has an answer of its own, which is on its way.
            _, order = self._grants.judge(opened, hold.act or opened.act, but=request_of(hold.id))
            if order is None:
                return
        now_ns = self._p.clock.now_ns()
        self._settler.commit(self._machine.plan_superseded(hold, order, now_ns))
        self._settler.due(hold.process)

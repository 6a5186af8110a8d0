"""Whether an order of the centre may be obeyed: every check between a message and its effect. Pure.

Whoever steals a NATS password can send anything here, and grants or stops nothing by it.
"""

from dataclasses import dataclass

from agent.orders.store import OrderStore
from wire import codec
from wire.errors import IdError, MessageError, SignatureError
from wire.grantable import LONGEST_NS
from wire.ids import HostId, check_id
from wire.orders import Grant, GrantRevoked, Order, Quarantine, QuarantineLifted
from wire.signing import Verifier


@dataclass(frozen=True, slots=True)
class New:
    """The order is good and was not taken before."""

    order: Order


@dataclass(frozen=True, slots=True)
class Known:
    """The very order that was taken before, delivered again; it changes nothing."""

    order: Order


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing may happen because of this message; `reason` says why, in words."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChecker:
    """What an order is held against."""

    host: HostId
    boot_id: str
    verifier: Verifier
    store: OrderStore

    def check(
        self, data: bytes, headers: dict[str, str] | None, *, boot_ns: int, now_ns: int
    ) -> New | Known | Refused:
        """Say what to do about a message from the stream of orders, at these two times."""
        try:
            self.verifier.check(data, headers)
            order = codec.decode(data)
            if not isinstance(order, Grant | GrantRevoked | Quarantine | QuarantineLifted):
                return Refused(f"a message of type {order.type} is no order")
            check_id(order.order, place="order")
        except (SignatureError, MessageError, IdError) as error:
            return Refused(str(error))
        if order.host != self.host:
            return Refused(f"order {order.order} is for host {order.host}, not this one")
        known = self.store.get(order.order)
        if known is not None:
            if known == order:
                return Known(order)
            return Refused(f"order {order.order} was another one before")
        problem = self._grant(order, boot_ns, now_ns) if isinstance(order, Grant) else ""
        if isinstance(order, Quarantine) and self.store.is_lifted(order.quarantine):
            problem = "it was lifted before it came"
        return Refused(f"order {order.order}: {problem}") if problem else New(order)

    def _grant(self, grant: Grant, boot_ns: int, now_ns: int) -> str:
        if grant.boot_id != self.boot_id:
            return "the grant is for another boot of this host"
        if self.store.is_revoked(grant.order):
            return "the grant was revoked before it came"
        if not in_time(grant, boot_ns=boot_ns, now_ns=now_ns):
            return "the grant has expired"
        if grant.expires_boot_ns - boot_ns > LONGEST_NS:
            return "the grant is for longer than any may be"
        if grant.uses < 1:
            return "the grant has no use"
        if grant.time_ns <= self.store.lost_ns():
            return "the grant is older than the loss of the record of what was used"
        return ""


def in_time(grant: Grant, *, boot_ns: int, now_ns: int) -> bool:
    """Return whether a grant has not ended by either clock of the host."""
    return boot_ns < grant.expires_boot_ns and now_ns < grant.expires_ns

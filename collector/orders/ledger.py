"""All orders that were ever given, and how they stand. Pure; they come twice, and in any order."""

from dataclasses import dataclass, field
from enum import StrEnum

from wire.ids import HoldId, HostId, OrderId
from wire.orders import Grant, GrantRevoked, Order, Quarantine, QuarantineLifted


class GrantState(StrEnum):
    """How a grant stands."""

    IN_FORCE = "in_force"
    USED_UP = "used_up"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class KnownGrant:
    """A grant with what became of it; `holds` are those that it has let pass."""

    grant: Grant
    holds: frozenset[HoldId] = frozenset()
    revoked: GrantRevoked | None = None

    def state(self, now_ns: int) -> GrantState:
        """Return how it stands; that it is over by the host's clocks, the host alone knows."""
        if self.revoked is not None:
            return GrantState.REVOKED
        if len(self.holds) >= self.grant.uses:
            return GrantState.USED_UP
        return GrantState.EXPIRED if now_ns >= self.grant.expires_ns else GrantState.IN_FORCE


@dataclass(slots=True)
class KnownQuarantine:
    """One action of one person: the orders of it to each host, and the ends of those."""

    first: Quarantine
    orders: dict[HostId, Quarantine] = field(default_factory=dict)
    lifts: dict[HostId, QuarantineLifted] = field(default_factory=dict)

    @property
    def id(self) -> OrderId:
        """What names it, on all its hosts."""
        return self.first.quarantine

    @property
    def lifted(self) -> QuarantineLifted | None:
        """The order that lifted it first, None while it is in force."""
        return min(self.lifts.values(), key=lambda lift: lift.time_ns, default=None)


class Ledger:
    """The orders in memory. The trail has them too, and the stream has them first."""

    def __init__(self) -> None:
        self._grants: dict[OrderId, KnownGrant] = {}
        self._revoked: dict[OrderId, GrantRevoked] = {}  # of grants that have not come
        self._holds: dict[OrderId, set[HoldId]] = {}
        self._quarantines: dict[OrderId, KnownQuarantine] = {}
        self._lifts: dict[OrderId, list[QuarantineLifted]] = {}

    def take(self, order: Order) -> None:
        """Take in an order whose signature was checked."""
        match order:
            case Grant():
                if order.order not in self._grants:
                    self._grants[order.order] = KnownGrant(order)
                self._refresh(order.order)
            case GrantRevoked():
                self._revoked.setdefault(order.grant, order)
                self._refresh(order.grant)
            case Quarantine():
                known = self._quarantines.setdefault(order.quarantine, KnownQuarantine(order))
                known.orders.setdefault(order.host, order)
                for lift in self._lifts.pop(order.quarantine, ()):
                    self.take(lift)
            case QuarantineLifted():
                found = self._quarantines.get(order.quarantine)
                if found is None:
                    self._lifts.setdefault(order.quarantine, []).append(order)
                else:
                    found.lifts.setdefault(order.host, order)

    def used(self, grant: OrderId, host: HostId, hold: HoldId) -> None:
        """Note that a host has let a hold pass by a grant, which may not have come yet."""
        known = self._grants.get(grant)
        if known is None or known.grant.host == host:
            self._holds.setdefault(grant, set()).add(hold)
            self._refresh(grant)

    def grant(self, grant: OrderId) -> KnownGrant | None:
        """Return a grant, None if there is none."""
        return self._grants.get(grant)

    def grants(self) -> list[KnownGrant]:
        """Return every grant, newest first."""
        known = self._grants.values()
        return sorted(known, key=lambda one: one.grant.time_ns, reverse=True)

    def quarantine(self, quarantine: OrderId) -> KnownQuarantine | None:
        """Return a quarantine, None if there is none."""
        return self._quarantines.get(quarantine)

    def quarantines(self) -> list[KnownQuarantine]:
        """Return every quarantine, newest first."""
        known = self._quarantines.values()
        return sorted(known, key=lambda one: one.first.time_ns, reverse=True)

    def _refresh(self, grant: OrderId) -> None:
        known = self._grants.get(grant)
        if known is not None:
            holds = frozenset(self._holds.get(grant, ()))
            self._grants[grant] = KnownGrant(known.grant, holds, self._revoked.get(grant))

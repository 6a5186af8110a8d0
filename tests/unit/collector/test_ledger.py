"""The ledger says the same of orders in whatever order, and how often, they come."""

from hypothesis import given
from hypothesis import strategies as st

from collector.orders.ledger import GrantState, Ledger
from tests.support.orders import (
    GRANT,
    HOST,
    QUARANTINE,
    a_grant,
    a_lift,
    a_quarantine,
    a_revocation,
    every_order,
)
from wire.ids import HoldId, HostId, OrderId

OTHER = HostId("b" * 32)


def state_of(ledger: Ledger, now_ns: int = 1) -> GrantState:
    """Return how the grant stands."""
    known = ledger.grant(GRANT)
    assert known is not None
    return known.state(now_ns)


def test_a_grant_ends_by_its_uses_by_time_and_by_revocation() -> None:
    """A revocation says most, and a use counts once however often it is told."""
    ledger = Ledger()
    ledger.take(a_grant(uses=2, expires_ns=10))
    assert state_of(ledger) is GrantState.IN_FORCE
    assert state_of(ledger, 10) is GrantState.EXPIRED
    for hold in ("1", "1", "2"):
        assert state_of(ledger) is GrantState.IN_FORCE
        ledger.used(GRANT, HOST, HoldId(hold * 32))
    assert state_of(ledger) is GrantState.USED_UP
    ledger.take(a_revocation())
    assert state_of(ledger) is GrantState.REVOKED


def test_no_other_host_uses_a_grant() -> None:
    """What a host says of another's grant counts for nothing."""
    ledger = Ledger()
    ledger.take(a_grant(uses=1))
    ledger.used(GRANT, OTHER, HoldId("1" * 32))
    assert state_of(ledger) is GrantState.IN_FORCE


@given(st.permutations([*every_order(), *every_order()]))
def test_the_order_in_which_they_come_makes_no_difference(orders: list[object]) -> None:
    """Two streams of a restart may bring them so."""
    ledger = Ledger()
    for order in orders:
        ledger.take(order)  # type: ignore[arg-type]
    assert state_of(ledger) is GrantState.REVOKED
    known = ledger.quarantine(QUARANTINE)
    assert known is not None
    assert known.lifted == a_lift()
    assert list(known.orders) == [HOST]


def test_a_quarantine_is_one_action_on_many_hosts() -> None:
    """Lifted on one of them it is lifted; the others are still to be told."""
    ledger = Ledger()
    ledger.take(a_quarantine())
    ledger.take(a_quarantine(order=OrderId("7" * 32), host=OTHER))
    ledger.take(a_lift())
    (known,) = ledger.quarantines()
    assert set(known.orders) == {HOST, OTHER}
    assert known.lifted is not None
    assert set(known.lifts) == {HOST}

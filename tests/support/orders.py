"""Orders as values, one of each sort, for tests of the centre."""

from dataclasses import replace
from typing import Any

from tests.support.wire_host import BOOT, exec_act
from wire.ids import HostId, OrderId, RequestId
from wire.orders import (
    FileState,
    Grant,
    GrantRevoked,
    Order,
    Quarantine,
    QuarantineLifted,
    covered,
)

HOST = HostId("a" * 32)
GRANT, QUARANTINE = OrderId("1" * 32), OrderId("2" * 32)
PROGRAM = FileState(device=1, inode=2, size=3, changed_ns=4)
_SAID = {"by": "ann", "via": "cli", "reason": "known work", "time_ns": 1}


def a_grant(**changes: Any) -> Grant:
    """Return a grant of five uses."""
    grant = Grant(
        order=GRANT,
        host=HOST,
        subject="ai-worker",
        session="100-5000",
        covers=covered(exec_act("pg_dump", "all"), "db.export", PROGRAM),
        uses=5,
        boot_id=BOOT,
        expires_boot_ns=10,
        expires_ns=1 << 62,
        request=RequestId("3" * 32),
        by="ann",
        via="cli",
        reason="known work",
        time_ns=1,
    )
    return replace(grant, **changes)


def a_quarantine(**changes: Any) -> Quarantine:
    """Return an order to stop a subject."""
    values: dict[str, Any] = {
        "order": OrderId("4" * 32),
        "host": HOST,
        "quarantine": QUARANTINE,
        "subject": "ai-worker",
        "everywhere": True,
    }
    return Quarantine(**(values | _SAID | changes))


def a_revocation(**changes: Any) -> GrantRevoked:
    """Return the end of that grant."""
    values: dict[str, Any] = {"order": OrderId("5" * 32), "host": HOST, "grant": GRANT}
    return GrantRevoked(**(values | _SAID | changes))


def a_lift(**changes: Any) -> QuarantineLifted:
    """Return the end of that quarantine."""
    values: dict[str, Any] = {"order": OrderId("6" * 32), "host": HOST, "quarantine": QUARANTINE}
    return QuarantineLifted(**(values | _SAID | changes))


def every_order() -> tuple[Order, ...]:
    """Return one of each sort."""
    return a_grant(), a_revocation(), a_quarantine(), a_lift()

"""Orders for a bench, as a collector would make them."""

import os
from typing import Any

from agent.orders.programs import Programs
from tests.support.children import Child
from tests.support.keeping import HOST, MINUTE_NS, Bench
from wire import codec
from wire.acts import Act, Guarantee, Kind, Process
from wire.ids import HoldId, OrderId, RequestId, new_id
from wire.orders import Grant, GrantRevoked, Order, Quarantine, QuarantineLifted, covered
from wire.signing import Signer

SESSION, OTHER_SESSION = (f"{pid}-{1 << 62}" for pid in (7, 8))


def file_act(one: Child, path: str = "/etc/shadow", *, session: str = SESSION) -> Act:
    """Return the opening of a file that is known by its inode."""
    return _act(one, Kind.OPEN, session=session, path=path, device=1, inode=77, flags=("read",))


def exec_act(one: Child, *argv: str, session: str = SESSION, **changes: Any) -> Act:
    """Return the exec by which a child came to run what it runs."""
    program = os.readlink(f"/proc/{one.pid}/exe")
    values: dict[str, Any] = {
        "executable": program,
        "filename": program,
        "argv": argv or (program,),
        "environment": {"PATH": "/usr/bin"},
        "cwd": "/",
    }
    return _act(one, Kind.EXEC, session=session, **(values | changes))


def _act(one: Child, kind: Kind, **changes: Any) -> Act:
    values: dict[str, Any] = {
        "kind": kind,
        "guarantee": Guarantee.HELD if kind is Kind.EXEC else Guarantee.STOPPED,
        "time_ns": 1_700_000_000_000_000_000,
        "boot_ns": 1_000_000_000,
        "subject": "ai-worker",
        "process": Process(pid=one.pid, start_ns=one.start_ns, comm="x", uid=os.getuid()),
        "tid": one.pid,
        "gid": os.getgid(),
        "executable": "/usr/bin/sleep",
    }
    return Act(**(values | changes))


def grant(bench: Bench, act: Act, **changes: object) -> Grant:
    """Return a grant for acts like this one."""
    program = Programs().look(act).state
    values: dict[str, object] = {
        "order": OrderId(new_id()),
        "host": HOST,
        "subject": act.subject,
        "session": act.session,
        "covers": covered(act, "test.rule", program),
        "uses": 2,
        "boot_id": bench.boot_id,
        "expires_boot_ns": bench.clock.boot + 15 * MINUTE_NS,
        "expires_ns": bench.clock.now_ns() + 15 * MINUTE_NS,
        "request": RequestId(new_id()),
        **_said(bench),
    } | changes
    return Grant(**values)  # type: ignore[arg-type]


def revocation(bench: Bench, given: Grant, **changes: object) -> GrantRevoked:
    """Return the end of a grant."""
    values = {"order": OrderId(new_id()), "host": HOST, "grant": given.order} | _said(bench)
    return GrantRevoked(**(values | changes))  # type: ignore[arg-type]


def quarantine(bench: Bench, subject: str = "ai-worker", **changes: object) -> Quarantine:
    """Return an order to stop a subject."""
    values: dict[str, object] = {
        "order": OrderId(new_id()),
        "host": HOST,
        "quarantine": OrderId(new_id()),
        "subject": subject,
        "everywhere": False,
        **_said(bench),
    } | changes
    return Quarantine(**values)  # type: ignore[arg-type]


def lift(bench: Bench, given: Quarantine) -> QuarantineLifted:
    """Return the end of a quarantine."""
    values = {"order": OrderId(new_id()), "host": HOST, "quarantine": given.quarantine}
    return QuarantineLifted(**(values | _said(bench)))  # type: ignore[arg-type]


def give(bench: Bench, order: Order, signer: Signer | None = None) -> None:
    """Hand an order to the keeper as the stream would."""
    data = codec.encode(order)
    bench.keeper.on_order(data, (signer or bench.signer).headers(data))


def held(bench: Bench, act: Act) -> HoldId | None:
    """Hold an act and hand it to the keeper; return the hold that is asked about, if one is."""
    before = {hold.id for hold in bench.keeper.holds() if hold.waiting}
    bench.sensor.hold(act)
    bench.keeper.on_holds()
    new = {hold.id for hold in bench.keeper.holds() if hold.waiting} - before
    return new.pop() if new else None


def _said(bench: Bench) -> dict[str, object]:
    return {
        "by": "ann",
        "via": "cli",
        "reason": "known work",
        "time_ns": bench.clock.now_ns(),
    }

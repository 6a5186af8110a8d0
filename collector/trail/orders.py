"""Orders as rows of the trail, and back from it."""

from dataclasses import asdict

import duckdb

from collector.orders.ledger import Ledger
from collector.trail import schema
from collector.trail.rows import Row, checked_row
from wire.codec import decode
from wire.ids import HoldId, HostId, OrderId
from wire.messages import HoldState
from wire.orders import Covered, Grant, GrantRevoked, Order, Quarantine, QuarantineLifted

_TABLES = {
    Grant: schema.GRANTS,
    GrantRevoked: schema.GRANT_REVOCATIONS,
    Quarantine: schema.QUARANTINES,
    QuarantineLifted: schema.QUARANTINE_LIFTS,
}


def order_row(order: Order, packed: bytes, signed_by: str, now_ns: int) -> Row:
    """Return the row of an order; raise MessageError if a value does not fit."""
    values = asdict(order)
    values["order_id"] = values.pop("order")
    if isinstance(order, Grant):
        values |= {
            "grant": order.order,
            "kind": order.covers.kind.value,
            "rule": order.covers.rule,
            "what": what(order.covers),
        }
    facts = {"message": packed, "signed_by": signed_by, "received_ns": now_ns}
    return checked_row(_TABLES[type(order)], values | facts)


def effect_row(state: HoldState, now_ns: int) -> Row:
    """Return the row of a hold that an order has settled."""
    values = asdict(state) | {"order_id": state.order, "received_ns": now_ns}
    return checked_row(schema.ORDER_EFFECTS, values)


def what(covers: Covered) -> str:
    """Return what a grant covers, as the view `requests` says it of a hold."""
    if covers.argv:
        return " ".join(covers.argv)
    return covers.path or f"{covers.address} port {covers.port}"


def read_ledger(cursor: duckdb.DuckDBPyConnection) -> Ledger:
    """Return every order that the trail has, and what was let pass by grants."""
    ledger = Ledger()
    for table in _TABLES.values():
        rows = cursor.execute(f"SELECT message FROM {table.name}").fetchall()  # noqa: S608
        for (packed,) in rows:
            order = decode(packed)
            assert isinstance(order, Grant | GrantRevoked | Quarantine | QuarantineLifted)
            ledger.take(order)
    effects = cursor.execute("SELECT order_id, host, hold FROM order_effects").fetchall()
    for order_id, host, hold in effects:
        ledger.used(OrderId(order_id), HostId(host), HoldId(hold))
    return ledger

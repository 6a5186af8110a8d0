"""The orders of the centre on disk, in the journal's file: what is in force, and what is spent.

A use of a grant is counted in the transaction that records what it lets pass, so no crash and no
loss of power can make two of one.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agent.database import transaction
from agent.errors import JournalError
from agent.procfs import TICK_NS
from agent.release import ProcessId
from wire import codec
from wire.errors import MessageError
from wire.ids import OrderId, check_id
from wire.orders import Grant, GrantRevoked, Order, Quarantine, QuarantineLifted

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY, message BLOB NOT NULL, taken_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS uses (
    order_id TEXT PRIMARY KEY, remaining INTEGER NOT NULL CHECK (remaining >= 0)
) STRICT;
CREATE TABLE IF NOT EXISTS quarantined (
    boot_id TEXT NOT NULL, pid INTEGER NOT NULL, start_ticks INTEGER NOT NULL,
    subject TEXT NOT NULL, stopped INTEGER NOT NULL,
    PRIMARY KEY (boot_id, pid, start_ticks)
) STRICT;
CREATE TABLE IF NOT EXISTS orders_lost (at_ns INTEGER NOT NULL) STRICT;
"""
T = TypeVar("T", Grant, GrantRevoked, Quarantine, QuarantineLifted)
_ORDERS = (Grant, GrantRevoked, Quarantine, QuarantineLifted)


@dataclass(frozen=True, slots=True)
class Stopped:
    """A process that a quarantine keeps stopped. `before`: it was stopped already, by others."""

    process: ProcessId
    subject: str
    before: bool


class OrderStore:
    """Orders that were checked before. Every change is on disk before a method returns."""

    def __init__(self, connection: sqlite3.Connection, place: Path) -> None:
        self._db = connection
        self._place = place
        self._orders: dict[OrderId, Order] = {}
        for (data,) in self._all("SELECT message FROM orders ORDER BY taken_ns"):
            order = _read(data)
            self._orders[order.order] = order

    # -- what there is ------------------------------------------------------------------------

    def get(self, order: OrderId) -> Order | None:
        """Return an order that was taken before, None for another."""
        return self._orders.get(order)

    def is_revoked(self, grant: OrderId) -> bool:
        """Return whether a grant was revoked, also if it was so before it came."""
        return any(one.grant == grant for one in self._of(GrantRevoked))

    def is_lifted(self, quarantine: OrderId) -> bool:
        """Return whether a quarantine was lifted, also if it was so before it came."""
        return any(one.quarantine == quarantine for one in self._of(QuarantineLifted))

    def grants(self, boot_id: str) -> list[Grant]:
        """Return the grants of this boot that were not revoked and have uses left, oldest first."""
        left = {row[0] for row in self._all("SELECT order_id FROM uses WHERE remaining > 0")}
        return [
            grant
            for grant in self._of(Grant)
            if grant.boot_id == boot_id and grant.order in left and not self.is_revoked(grant.order)
        ]

    def quarantines(self) -> list[Quarantine]:
        """Return the quarantines that are in force, oldest first."""
        return [one for one in self._of(Quarantine) if not self.is_lifted(one.quarantine)]

    def quarantine_of(self, subject: str) -> Quarantine | None:
        """Return the oldest quarantine of a subject that is in force, None if there is none."""
        return next((one for one in self.quarantines() if one.subject == subject), None)

    def lost_ns(self) -> int:
        """Return when an earlier record of orders was lost, 0 if none was."""
        return int(self._all("SELECT coalesce(max(at_ns), 0) FROM orders_lost")[0][0])

    # -- what changes -------------------------------------------------------------------------

    def take(self, order: Order, now_ns: int) -> None:
        """Keep an order; raise JournalError, with nothing changed, if the disk refuses."""
        with transaction(self._db, self._place):
            self._db.execute(
                "INSERT INTO orders VALUES (?, ?, ?)", (order.order, codec.encode(order), now_ns)
            )
            if isinstance(order, Grant):
                self._db.execute("INSERT INTO uses VALUES (?, ?)", (order.order, order.uses))
        self._orders[order.order] = order

    def use(self, grant: OrderId) -> None:
        """Count one use, within the caller's transaction; raise JournalError if none is left."""
        done = self._db.execute(
            "UPDATE uses SET remaining = remaining - 1 WHERE order_id = ? AND remaining > 0",
            (grant,),
        )
        if done.rowcount != 1 or self.is_revoked(grant):
            raise JournalError(
                f"{self._place}: grant {grant} has no use left; nothing passes by it"
            )

    def spend(self, grant: OrderId) -> None:
        """Count one use that the kernel has let pass already, within the caller's transaction."""
        self._db.execute(
            "UPDATE uses SET remaining = remaining - 1 WHERE order_id = ? AND remaining > 0",
            (grant,),
        )

    def uses_left(self, grant: OrderId) -> int:
        """Return how many uses a grant has left, 0 for one that is not here."""
        rows = self._all("SELECT remaining FROM uses WHERE order_id = ?", grant)
        return int(rows[0][0]) if rows else 0

    def note_loss(self, now_ns: int) -> None:
        """Keep in mind that older orders, and what was spent of them, are not known any more."""
        with transaction(self._db, self._place):
            self._db.execute("INSERT INTO orders_lost VALUES (?)", (now_ns,))

    def prune(self, before_ns: int) -> None:
        """Delete grants that were taken long ago, and their revocations; quarantines stay."""
        old = [one for (one,) in self._all("SELECT id FROM orders WHERE taken_ns < ?", before_ns)]
        gone = [one for one in old if isinstance(self._orders.get(one), Grant | GrantRevoked)]
        with transaction(self._db, self._place, durable=False):
            for one in gone:
                self._db.execute("DELETE FROM orders WHERE id = ?", (one,))
                self._db.execute("DELETE FROM uses WHERE order_id = ?", (one,))
        for one in gone:
            del self._orders[one]

    # -- processes under quarantine -----------------------------------------------------------

    def stopped(self, boot_id: str) -> list[Stopped]:
        """Return the processes of this boot that are to be, or were, stopped by a quarantine."""
        rows = self._all(
            "SELECT pid, start_ticks, subject, stopped FROM quarantined WHERE boot_id = ?", boot_id
        )
        return [Stopped(ProcessId(row[0], row[1] * TICK_NS), row[2], bool(row[3])) for row in rows]

    def stopping(self, stopped: Iterable[Stopped], boot_id: str) -> None:
        """Write down who is about to be stopped. Not synced: after a loss of power all are gone."""
        with transaction(self._db, self._place, durable=False):
            self._db.execute("DELETE FROM quarantined WHERE boot_id != ?", (boot_id,))
            self._db.executemany(
                "INSERT OR IGNORE INTO quarantined VALUES (?, ?, ?, ?, ?)",
                [
                    (
                        boot_id,
                        one.process.pid,
                        one.process.start_ns // TICK_NS,
                        one.subject,
                        int(one.before),
                    )
                    for one in stopped
                ],
            )

    def forget(self, processes: Iterable[ProcessId], boot_id: str) -> None:
        """Take out processes that run again, or are gone."""
        with transaction(self._db, self._place, durable=False):
            self._db.executemany(
                "DELETE FROM quarantined WHERE boot_id = ? AND pid = ? AND start_ticks = ?",
                [(boot_id, one.pid, one.start_ns // TICK_NS) for one in processes],
            )

    def _of(self, kind: type[T]) -> Iterator[T]:
        return (one for one in self._orders.values() if isinstance(one, kind))

    def _all(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise JournalError(
                f"{self._place}: cannot be read: {error}; restart the agent, which puts a damaged "
                "file aside"
            ) from error


def check_rows(database: sqlite3.Connection) -> None:
    """Make the tables, which an older agent's file has not; raise ValueError for a damaged row."""
    database.executescript(SCHEMA)
    for name, data, taken_ns in database.execute("SELECT id, message, taken_ns FROM orders"):
        try:
            check_id(name, place="orders")
            if _read(data).order != name or taken_ns < 0:
                raise ValueError(f"orders: {name} has another order's message")
        except MessageError as error:
            raise ValueError(f"orders: {name}: {error}") from error
    for name, remaining in database.execute("SELECT order_id, remaining FROM uses"):
        check_id(name, place="uses")
        if remaining < 0:
            raise ValueError(f"uses: {name} has {remaining} left")
    for row in database.execute("SELECT pid, start_ticks FROM quarantined"):
        if row[0] < 1 or row[1] < 0:
            raise ValueError(f"quarantined: {row[0]} is no process")


def _read(data: object) -> Order:
    message = codec.decode(data if isinstance(data, bytes) else b"")
    if not isinstance(message, _ORDERS):
        raise MessageError(f"a message of type {message.type} is no order")
    return message

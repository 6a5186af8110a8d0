"""Takes in orders, after their signatures have been verified: into the ledger and the trail."""

import time
from collections.abc import Sequence

from collector.ingest.work import Delivery, RefusedError, Work
from collector.orders.ledger import Ledger
from collector.trail.orders import order_row
from wire import subjects
from wire.codec import decode
from wire.errors import WireError
from wire.messages import Message
from wire.orders import Grant, GrantRevoked, Order, Quarantine, QuarantineLifted
from wire.signing import Verifier


class OrderIntake:
    """Reads the stream of orders. What no trusted key signed has no effect."""

    stream = subjects.ORDERS

    def __init__(self, ledger: Ledger, verifier: Verifier) -> None:
        self._ledger = ledger
        self._verifier = verifier

    async def take(self, deliveries: Sequence[Delivery]) -> Work:
        """Return rows for what a collector has ordered."""
        work = Work()
        for position, delivery in enumerate(deliveries):
            try:
                order, key = self._read(delivery)
                work.rows.append(order_row(order, delivery.data, key, time.time_ns()))
                self._ledger.take(order)
            except WireError as error:
                work.refuse(position, delivery, str(error))
        return work

    async def done(self, work: Work) -> None:
        """Nothing else waits for them."""

    def _read(self, delivery: Delivery) -> tuple[Order, str]:
        key = self._verifier.check(delivery.data, delivery.headers)
        message: Message = decode(delivery.data)
        if not isinstance(message, Grant | GrantRevoked | Quarantine | QuarantineLifted):
            raise RefusedError(f"a message of type {message.type} does not belong here")
        delivery.expect(subjects.order(message.host, message.order), message.host, message.order)
        return message, key

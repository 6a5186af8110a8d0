"""Makes the grant that a decision comes to: once, whoever brings it and however often.

The stream admits one message under the id, which follows from the votes.
"""

import time
from collections.abc import Callable

from collector.approvals.record import Record
from collector.nats.publish import Publisher
from collector.orders.ledger import Ledger
from collector.orders.terms import grant_of
from wire import subjects
from wire.codec import encode
from wire.orders import Grant
from wire.signing import Signer


class Granting:
    """Publishes grants, signed with the collector's key. `clock` gives UTC in nanoseconds."""

    def __init__(
        self,
        ledger: Ledger,
        publisher: Publisher,
        signer: Signer,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._signer = signer
        self._clock = clock

    async def grant(self, record: Record) -> Grant | None:
        """Return the grant of a decided request, made now if it was not; raise CentreError.

        None if its votes come to none, or one whose life is over by now.
        """
        for hold in record.holds:
            wanted = grant_of(hold)
            if wanted is None:
                continue
            known = self._ledger.grant(wanted.order)
            if known is not None:
                return known.grant
            if wanted.expires_ns > self._clock():
                return await self._make(wanted)
        return None

    async def _make(self, grant: Grant) -> Grant:
        data = encode(grant)
        stored = await self._publisher.first(
            subjects.ORDERS,
            subjects.order(grant.host, grant.order),
            data,
            self._signer.headers(data),
        )
        if stored is None:  # what another collector has made comes from the stream
            self._ledger.take(grant)
        return grant

"""Makes the grant that a decision comes to: once, whoever brings it and however often.

The stream admits one message under the id, which follows from the votes. Where the centre was away
for longer than the grant would have lived, the request is told so in a remark of the centre's own.
"""

import hashlib
import time
from collections.abc import Callable

from collector.approvals.record import CENTRE_VIA, Record
from collector.nats.publish import Publisher
from collector.orders.ledger import Ledger
from collector.orders.terms import grant_of
from wire import subjects
from wire.codec import encode
from wire.ids import VoteId
from wire.messages import Comment
from wire.orders import Grant
from wire.signing import Signer

CENTRE = "Holdfast"
NO_GRANT = (
    "no grant was made: the whole time that it was approved for was over before the centre, which "
    "had been away, could make it"
)


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

        It is also made when the hold has ended meanwhile: it is about later acts. None if its votes
        come to none, or one whose life is over by now.
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
            await self._say_none(hold, wanted)
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

    async def _say_none(self, hold: Record, grant: Grant) -> None:
        """Say once that no grant was made, unless the stream has one that is not heard of yet."""
        name = hashlib.sha256(f"no grant {grant.order}".encode()).hexdigest()[:32]
        known = any(one.comment == name for one in hold.comments)
        subject = subjects.order(grant.host, grant.order)
        if known or await self._publisher.stored(subjects.ORDERS, subject) is not None:
            return
        remark = Comment(
            comment=VoteId(name),
            request=hold.id,
            by=CENTRE,
            via=CENTRE_VIA,
            text=NO_GRANT,
            time_ns=self._clock(),
        )
        data = encode(remark)
        await self._publisher.append(
            subjects.VOTES, subjects.vote(hold.id), data, self._signer.headers(data)
        )

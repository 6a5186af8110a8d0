"""From votes to the one decision on a hold: the stream picks it, then the host gets its verdict.

The decision is the same message whoever makes it, and is stored under "nothing may be there yet".
Whoever loses the race is told who won.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from collector.approvals import checks
from collector.approvals.applied import Policies
from collector.approvals.book import Book
from collector.approvals.record import Record
from collector.approvals.register import Changed
from collector.approvals.tally import decision_of, tally
from collector.approvals.unstored import refusals
from collector.approvals.verdicts import Verdicts
from collector.errors import CentreError, Refusal
from collector.nats.publish import Publisher, Stored
from wire import subjects
from wire.codec import decode_as, encode
from wire.errors import SignatureError, WireError
from wire.messages import Decision, Vote
from wire.signing import Signer, Verifier

log = logging.getLogger(__name__)

# What follows from the decision on a hold besides its verdict; raises CentreError if it fails.
AlsoFollows = Callable[[Record], Awaitable[object]]


class Settling:
    """Publishes decisions, signed with the collector's key, then `verdicts`."""

    def __init__(
        self,
        book: Book,
        publisher: Publisher,
        signer: Signer,
        verifier: Verifier,
        policies: Policies,
        verdicts: Verdicts,
        also: AlsoFollows | None = None,
    ) -> None:
        self._book = book
        self._publisher = publisher
        self._signer = signer
        self._verifier = verifier
        self._policies = policies
        self.verdicts = verdicts
        self._also = also

    async def complete(self, record: Record, decision: Decision) -> None:
        """See that a request is decided; raise CentreError if it is not known to be done.

        The ingest brings the decision, which may be an earlier one, and sees to the verdict.
        """
        data = encode(decision)
        await self._publisher.first(
            subjects.DECISIONS, subjects.decision(record.id), data, self._signer.headers(data)
        )

    def standing(self, record: Record) -> Decision | None:
        """Return the decision that the votes on a request come to, if they come to one."""
        policy = self._policies.apply(record).policy
        standing = tally(record.votes, policy.approve, policy.break_glass)
        if standing.answer is None:
            return None
        return decision_of(record.id, standing, policy.id, record.opened.digest)

    async def follow(self, record: Record) -> None:
        """See that all that follows from a decision is done; raise CentreError. Idempotent."""
        await self.verdicts.deliver(record)
        if self._also is not None:
            await self._also(record)

    async def settle(self, holds: Sequence[Record], vote: Vote | None = None) -> Record:
        """Decide each hold whose votes are enough; return the first, or raise what befell it.

        `vote` is one that was just stored on them. What befell the others is theirs: whoever was
        faster has decided them, or the votes are taken up again from the stream.
        """
        first, *others = await asyncio.gather(
            *(self._settle_one(one, vote) for one in holds), return_exceptions=True
        )
        self._book.announce(self._book.register.get(holds[0].id) or holds[0])
        for hold, result in zip(holds[1:], others, strict=True):
            if isinstance(result, BaseException) and not isinstance(result, Refusal):
                log.error("hold %s: not decided with the others", hold.hold, exc_info=result)
        if isinstance(first, BaseException):
            raise first
        return first

    async def _settle_one(self, hold: Record, vote: Vote | None) -> Record:
        voted = self._book.register.get(hold.id) or hold
        if vote is not None and vote not in voted.votes:  # a request that only the trail has
            voted = replace(voted, votes=(*voted.votes, vote))
        decision = self.standing(voted)
        if decision is None:
            return voted
        with self._book.coming(hold.id):
            decided = await self._decide(voted, decision)
        await self._try_to_deliver(decided)
        return decided

    async def _decide(self, record: Record, decision: Decision) -> Record:
        """Return the hold as decided by this decision; raise Refusal if another was earlier."""
        data = encode(decision)
        with refusals(voted=True):
            stored = await self._publisher.first(
                subjects.DECISIONS,
                subjects.decision(record.id),
                data,
                self._signer.headers(data),
            )
        if stored is None:
            return self._apply(record, decision)
        earlier = self._read_decision(record, stored)
        known = self._apply(record, earlier)
        self._book.announce(known)
        checks.check_open(known)
        raise AssertionError("a decided request is never open")

    def _apply(self, record: Record, decision: Decision) -> Record:
        """Take in a decision at once; the ingest brings it again and finds it known."""
        outcome = self._book.register.said(decision)
        if isinstance(outcome, Changed):
            return outcome.record
        known = self._book.register.get(record.id) or record
        return known if known.decision else replace(known, decision=decision)

    def _read_decision(self, record: Record, stored: Stored) -> Decision:
        try:
            self._verifier.check(stored.data, dict(stored.headers))
            decision = decode_as(stored.data, Decision)
            # A signed decision of another request may have been copied here.
            if (decision.request, decision.digest) != (record.id, record.opened.digest):
                raise SignatureError("it was signed for another request")
        except WireError as error:
            raise Refusal(
                409,
                "decision_forged",
                f"a message that no collector signed stands in the place of the decision ({error})",
                "the host will act on its deadline; find out who has the collector's NATS key",
                {"request": record.id},
            ) from error
        return decision

    async def _try_to_deliver(self, record: Record) -> None:
        try:
            await self.verdicts.deliver(record)
        except CentreError as error:
            # The decision is stored; the ingest meets it and delivers the verdict then.
            log.warning("hold %s: verdict not delivered yet: %s", record.hold, error)

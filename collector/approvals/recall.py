"""What votes were for besides, after a restart: the trail has who said what, the stream all of it.

Which time somebody has approved for is in their signed vote alone, and that stays in its stream.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace

from collector.approvals.record import Record
from collector.errors import CentreError
from collector.nats.publish import Publisher
from wire import subjects
from wire.codec import decode
from wire.errors import WireError
from wire.ids import VoteId
from wire.messages import Answer, Vote, WantedGrant
from wire.signing import Verifier

log = logging.getLogger(__name__)


class Recall:
    """Reads votes again from their stream."""

    def __init__(self, publisher: Publisher, verifier: Verifier) -> None:
        self._publisher = publisher
        self._verifier = verifier

    async def records(self, records: Iterable[Record]) -> tuple[Record, ...]:
        """Return records from the trail with their votes whole; of one hold each."""
        found = tuple(records)
        wanted = await self._wanted(vote for record in found for vote in record.votes)
        return tuple(
            replace(record, votes=tuple(_with(vote, wanted) for vote in record.votes))
            for record in found
        )

    async def votes(self, votes: Iterable[Vote]) -> dict[VoteId, Vote]:
        """Return votes from the trail whole, by their ids."""
        found = tuple(votes)
        wanted = await self._wanted(found)
        return {vote.vote: _with(vote, wanted) for vote in found}

    async def _wanted(self, votes: Iterable[Vote]) -> dict[VoteId, WantedGrant]:
        """Return what approvals are for; one that cannot be read counts for its once."""
        wanted: dict[VoteId, WantedGrant] = {}
        requests = {vote.request: None for vote in votes if vote.answer is Answer.APPROVE}
        try:
            for request in requests:
                for stored in await self._publisher.every(subjects.VOTES, subjects.vote(request)):
                    try:
                        self._verifier.check(stored.data, dict(stored.headers))
                        vote = decode(stored.data)
                    except WireError:
                        continue  # it was refused when it came, and is in the trail as that
                    if isinstance(vote, Vote) and vote.request == request and vote.grant:
                        wanted[vote.vote] = vote.grant
        except CentreError as error:
            log.warning("for which time votes were given is not known; they count once: %s", error)
        return wanted


def _with(vote: Vote, wanted: dict[VoteId, WantedGrant]) -> Vote:
    return replace(vote, grant=wanted.get(vote.vote))

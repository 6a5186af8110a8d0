"""Takes in votes, comments and decisions, after their signatures have been verified."""

import time
from collections.abc import Sequence
from dataclasses import replace

from collector.approvals.book import Book
from collector.approvals.decide import Decider
from collector.approvals.register import Changed, Rejected
from collector.approvals.undecided import Undecided
from collector.ingest.work import Delivery, RefusedError, Work
from collector.shown.content import digest_of
from collector.trail.rows import Row, card_row, comment_row, decision_row, vote_row
from wire import subjects
from wire.codec import decode
from wire.errors import WireError
from wire.ids import RequestId
from wire.messages import Comment, Decision, Message, Vote
from wire.signing import Verifier

_Said = Vote | Comment | Decision


class SaidIntake:
    """Reads either the votes or the decisions. What no trusted key signed has no effect."""

    def __init__(
        self,
        stream: str,
        kinds: tuple[type[_Said], ...],
        book: Book,
        decider: Decider,
        undecided: Undecided,
        verifier: Verifier,
    ) -> None:
        self.stream = stream
        self._kinds = kinds
        self._book = book
        self._decider = decider
        self._undecided = undecided
        self._verifier = verifier

    async def take(self, deliveries: Sequence[Delivery]) -> Work:
        """Return rows for what the register accepts."""
        work = Work()
        read = [self._read(one) for one in deliveries]
        await self._book.need(
            request
            for one in read
            if not isinstance(one, WireError)
            for request in _requests(one[0])
        )
        for position, (delivery, one) in enumerate(zip(deliveries, read, strict=True)):
            try:
                if isinstance(one, WireError):
                    raise one
                self._accept(work, *one)
            except WireError as error:
                work.refuse(position, delivery, str(error))
        return work

    async def done(self, work: Work) -> None:
        """See that the host has its verdict, then tell listeners and who waits for the commit."""
        while work.decided:
            await self._decider.settling.follow(work.decided[0])
            work.decided.pop(0)
        while work.changed:
            record = work.changed.pop(0)
            self._book.announce(self._book.register.get(record.id) or record)
        self._book.stored(work.stored)
        while work.voted:
            self._undecided.add(work.voted.pop(0))

    def _accept(self, work: Work, message: _Said, key: str) -> None:
        rows = _rows(message, key)
        if isinstance(message, Vote):
            message = replace(message, shown="")  # the trail has it, and memory need not
        outcome = self._book.register.said(message)
        if isinstance(outcome, Rejected):
            raise RefusedError(outcome.reason)
        work.rows.extend(rows)
        work.stored.append(_id(message))
        if isinstance(message, Vote):
            # Also one that this collector has stored: it may be cut off before it decides.
            work.voted.append(message)
        if isinstance(outcome, Changed):
            work.changed.append(outcome.record)
        record = self._book.register.get(message.request)
        if isinstance(message, Decision) and record is not None:
            work.decided.append(record)

    def _read(self, delivery: Delivery) -> tuple[_Said, str] | WireError:
        try:
            key = self._verifier.check(delivery.data, delivery.headers)
            message: Message = decode(delivery.data)
            if not isinstance(message, self._kinds):
                return RefusedError(f"a message of type {message.type} does not belong here")
            name = subjects.decision if isinstance(message, Decision) else subjects.vote
            delivery.expect(name(message.request), message.request)
        except WireError as error:
            return error
        return message, key


def _requests(message: _Said) -> tuple[RequestId, ...]:
    also = message.also if isinstance(message, Vote) else ()
    return (message.request, *(RequestId(hold) for hold in also))


def _rows(message: _Said, key: str) -> list[Row]:
    now = time.time_ns()
    match message:
        case Vote():
            if not message.shown:
                return [vote_row(message, key, now)]
            if digest_of(message.shown) != message.card:
                raise RefusedError("the digest is not that of the card as shown")
            return [vote_row(message, key, now), card_row(message, key, now)]
        case Comment():
            return [comment_row(message, key, now)]
        case Decision():
            return [decision_row(message, key, now)]


def _id(message: _Said) -> str:
    match message:
        case Vote():
            return message.vote
        case Comment():
            return message.comment
        case Decision():
            return message.request

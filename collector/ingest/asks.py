"""Takes in asks that collectors have opened, after their signatures have been verified."""

import time
from collections.abc import Sequence

from collector.approvals.book import Book
from collector.approvals.register import Changed, Rejected
from collector.approvals.undecided import Undecided
from collector.asks.opened import as_opened
from collector.ingest.work import Delivery, RefusedError, Work
from collector.trail.rows import opened_row
from wire import subjects
from wire.codec import decode_as
from wire.errors import WireError
from wire.messages import AskOpened
from wire.signing import Verifier


class AskIntake:
    """Feeds the register; what no trusted key signed has no effect."""

    stream = subjects.ASKS

    def __init__(self, book: Book, undecided: Undecided, verifier: Verifier) -> None:
        self._book = book
        self._undecided = undecided
        self._verifier = verifier

    async def take(self, deliveries: Sequence[Delivery]) -> Work:
        """Return rows for what the register accepts, and tell listeners of new asks."""
        work = Work()
        asks = [self._read(one) for one in deliveries]
        await self._book.need(ask.request for ask in asks if isinstance(ask, AskOpened))
        for position, (delivery, ask) in enumerate(zip(deliveries, asks, strict=True)):
            try:
                if isinstance(ask, WireError):
                    raise ask
                self._accept(work, delivery, ask)
            except WireError as error:
                work.refuse(position, delivery, str(error))
        return work

    async def done(self, work: Work) -> None:
        """See that votes which were heard of before their ask are decided upon."""
        while work.voted:
            self._undecided.add(work.voted.pop(0))

    def _accept(self, work: Work, delivery: Delivery, ask: AskOpened) -> None:
        opened = as_opened(ask)
        # The row first: what does not fit into the trail must not be in memory either.
        now_ns = time.time_ns()
        row = opened_row(opened, delivery.data, now_ns)
        outcome = self._book.opened(opened, now_ns)
        if isinstance(outcome, Rejected):
            raise RefusedError(outcome.reason)
        work.rows.append(row)
        if isinstance(outcome, Changed):
            self._book.announce(outcome.record)
            work.voted.extend(outcome.record.votes)

    def _read(self, delivery: Delivery) -> AskOpened | WireError:
        try:
            self._verifier.check(delivery.data, delivery.headers)
            ask = decode_as(delivery.data, AskOpened)
            delivery.expect(subjects.ask(ask.request), ask.request)
        except WireError as error:
            return error
        return ask

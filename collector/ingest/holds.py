"""Takes in what hosts say of their holds: the opening and each later state."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from collector.approvals.book import Book
from collector.approvals.decide import Decider
from collector.approvals.record import Record
from collector.approvals.register import Changed, Rejected
from collector.approvals.undecided import Undecided
from collector.ingest.work import Delivery, RefusedError, Work
from collector.orders.ledger import Ledger
from collector.trail.orders import effect_row
from collector.trail.rows import opened_row, state_row
from wire import subjects
from wire.acts import Kind
from wire.codec import decode
from wire.errors import WireError
from wire.ids import RequestId
from wire.messages import HoldOpened, HoldState, Message


class HoldIntake:
    """Feeds the register and announces what changed."""

    stream = subjects.HOLDS

    def __init__(
        self,
        book: Book,
        decider: Decider,
        undecided: Undecided,
        ledger: Ledger,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """`clock` gives UTC in nanoseconds."""
        self._clock = clock
        self._book = book
        self._decider = decider
        self._undecided = undecided
        self._ledger = ledger

    async def take(self, deliveries: Sequence[Delivery]) -> Work:
        """Return rows for what the register accepts, and tell listeners of new holds.

        A process waits, and the stream has its hold for good: who can answer need not wait for the
        trail. What the host did is told when the trail has it.
        """
        work = Work()
        messages: list[HoldOpened | HoldState | WireError] = [_read(one) for one in deliveries]
        await self._book.need(
            RequestId(message.hold) for message in messages if not isinstance(message, WireError)
        )
        for position, (delivery, message) in enumerate(zip(deliveries, messages, strict=True)):
            try:
                if isinstance(message, WireError):
                    raise message
                self._accept(work, delivery, message)
            except WireError as error:
                work.refuse(position, delivery, str(error))
        return work

    async def done(self, work: Work) -> None:
        """Tell what hosts did, and serve a hold that was decided before it was heard of."""
        while work.changed:
            record = work.changed.pop(0)
            if record.states:
                self._book.announce(self._with_answers(record))
            if record.finished:
                self._decider.settling.verdicts.forget(record)
            work.decided.append(record)
        while work.decided:
            await self._decider.settling.verdicts.deliver(work.decided[0])
            work.decided.pop(0)
        while work.voted:
            self._undecided.add(work.voted.pop(0))

    def _with_answers(self, record: Record) -> Record:
        """Return the record with what people have said since, which was told then."""
        now = self._book.register.get(record.id)
        return record if now is None else replace(now, states=record.states)

    def _accept(self, work: Work, delivery: Delivery, message: HoldOpened | HoldState) -> None:
        now = self._clock()
        # The row first: what does not fit into the trail must not be in memory either.
        if isinstance(message, HoldOpened):
            if message.act.kind is Kind.ASK:
                raise RefusedError("a host holds acts of processes; it cannot ask")
            row = opened_row(message, delivery.data, now)
            outcome = self._book.opened(message, now)
        else:
            row = state_row(message, now)
            outcome = self._book.register.state(message)
        if isinstance(outcome, Rejected):
            raise RefusedError(outcome.reason)
        work.rows.append(row)
        if isinstance(message, HoldState) and message.order is not None:
            work.rows.append(effect_row(message, now))
            self._ledger.used(message.order, message.host, message.hold)
        if isinstance(outcome, Changed):
            work.changed.append(outcome.record)
            if isinstance(message, HoldOpened):
                self._book.announce(outcome.record)
                # Votes that came before their hold: whoever stored them may be gone.
                work.voted.extend(outcome.record.votes)


def _read(delivery: Delivery) -> HoldOpened | HoldState | WireError:
    try:
        message: Message = decode(delivery.data)
        if not isinstance(message, HoldOpened | HoldState):
            return RefusedError(f"a message of type {message.type} does not belong here")
        delivery.expect(subjects.hold(message.host, message.hold), message.host, message.hold)
    except WireError as error:
        return error
    return message

"""The book: what listeners are told of requests, in which order."""

from typing import cast

from collector.approvals.book import Book
from collector.approvals.record import Record
from collector.approvals.register import Register
from collector.trail.reader import Reader
from tests.unit.collector.samples import make_decision, make_opened, make_state
from wire.messages import Ground, HoldStateName


async def test_the_last_word_that_a_listener_hears_is_the_newest() -> None:
    """The stream of decisions may come to its word after the host has ended the hold already."""
    book = Book(Register(), cast("Reader", None))
    opened = Record(make_opened())
    decided = Record(opened.opened, decision=make_decision())
    approved = make_state(HoldStateName.APPROVED, 1, ground=Ground.DECISION)
    released = make_state(HoldStateName.RELEASED, 2, ground=Ground.DECISION)
    over = Record(opened.opened, states=(approved, released), decision=decided.decision)
    with book.listen(10, "ann") as listener:
        for record in (opened, over, decided, over):
            book.announce(record)
        listener.end()
        heard = [await listener.next(5), await listener.next(5), await listener.next(5)]
    assert heard == [opened, over, None]

"""The book: what listeners are told of requests, in which order, and who waits for the trail."""

import asyncio
from typing import cast

import pytest

from collector.approvals import book as books
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


async def test_who_asks_the_trail_waits_for_what_was_said_and_for_nothing_else() -> None:
    """What was stored is waited for; what failed, and what comes to be said meanwhile, is not."""
    book = Book(Register(), cast("Reader", None))
    with pytest.raises(OSError, match="no"), book.coming("failed"):
        raise OSError("no")
    await book.caught_up()
    with book.coming("vote", "request"):
        pass
    asking = asyncio.create_task(book.caught_up())
    await asyncio.sleep(0)
    with book.coming("later"):
        pass
    book.stored(["vote", "another"])
    await asyncio.sleep(0)
    assert not asking.done()
    book.stored(["request"])
    await asking


async def test_a_trail_that_cannot_be_written_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The question is answered all the same, from what the trail has."""
    monkeypatch.setattr(books, "_LATEST_S", 0.0)
    book = Book(Register(), cast("Reader", None))
    with book.coming("vote"):
        pass
    await book.caught_up()
    book.stored(["vote"])

"""The book: what listeners are told of requests, in which order, and who waits for the trail."""

import asyncio
from typing import cast

import pytest

from collector.approvals import book as books
from collector.approvals.book import Book
from collector.approvals.record import Record
from collector.approvals.register import Changed, Register
from collector.trail.reader import Reader
from tests.support.wire_host import exec_act, opened
from tests.unit.collector.samples import make_decision, make_opened, make_state
from wire.ids import HostId, VoteId, request_of
from wire.messages import Answer, Ground, HoldStateName, Vote


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


async def test_who_listens_hears_of_requests_and_of_a_hold_that_leaves_one() -> None:
    """An identical hold grows the request that waits; one that a vote leaves out is told as new."""
    book = Book(Register(), cast("Reader", None))
    act = exec_act("make", inode=5)
    first, second = opened(HostId("a" * 32), act=act), opened(HostId("a" * 32), act=act)
    vote = Vote(
        vote=VoteId("1" * 32),
        request=request_of(first.hold),
        by="ann",
        via="api",
        answer=Answer.APPROVE,
        reason="r",
        digest=first.digest,
        time_ns=1,
    )
    heard = []
    with book.listen(10, "ann") as listener:
        for hold in (first, second):
            outcome = book.opened(hold)
            assert isinstance(outcome, Changed)
            book.announce(outcome.record)
        said = book.register.said(vote)
        assert isinstance(said, Changed)
        book.announce(said.record)
        listener.end()
        while (record := await listener.next(5)) is not None:
            heard.append((record.id, [one.hold for one in record.holds], len(record.votes)))
    one, two = request_of(first.hold), request_of(second.hold)
    assert heard == [
        (one, [first.hold], 0),
        (one, [first.hold, second.hold], 0),
        (one, [first.hold], 1),
        (two, [second.hold], 0),
    ]
    found = await book.get(two)
    assert found is not None
    assert book.whole(found) == found

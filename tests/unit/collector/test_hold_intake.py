"""What the ingest of holds tells, and when; and what it finds of an earlier run."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from nats.aio.client import Client

from collector.approvals.book import Book, Listener
from collector.approvals.decide import Decider
from collector.approvals.known import Known
from collector.approvals.record import RequestState
from collector.approvals.register import Register
from collector.approvals.undecided import Undecided
from collector.config import Trail
from collector.ingest.holds import HoldIntake
from collector.ingest.work import Delivery
from collector.nats.publish import Publisher
from collector.orders.ledger import Ledger
from collector.trail.reader import Reader
from collector.trail.rows import decision_row, opened_row, state_row, vote_row
from collector.trail.store import open_trail
from collector.trail.writer import Writer
from tests.support.policies import any_reviewer
from tests.support.wire_host import opened, state
from wire import subjects
from wire.codec import encode
from wire.ids import HostId, RequestId, VoteId, new_id
from wire.messages import Answer, Decision, Ground, HoldOpened, HoldState, HoldStateName, Vote
from wire.signing import Signer, Verifier

HOST, OTHER = HostId("a" * 32), HostId("b" * 32)


@dataclass
class Centre:
    """A trail with all that reads it; nothing is published, since nothing is decided here."""

    writer: Writer
    reader: Reader

    async def intake(self) -> tuple[Book, HoldIntake]:
        """Return what a collector that starts now would have."""
        book = Book(Register(), self.reader)
        await book.load()
        signer = Signer.generate()
        publisher = Publisher(Client(), timeout_s=1)
        decider = Decider(
            book, publisher, signer, Verifier(frozenset({signer.key_id})), any_reviewer()
        )
        return book, HoldIntake(book, decider, Undecided(book, decider.settling), Ledger())


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    """Give an empty trail."""
    connection = open_trail(Trail(file=str(tmp_path / "trail.duckdb")))
    made = Centre(Writer(connection, on_fatal=pytest.fail), Reader(connection))
    yield made
    made.reader.close()
    made.writer.close()
    connection.close()


def _delivery(message: HoldOpened | HoldState, sequence: int) -> Delivery:
    subject = subjects.hold(message.host, message.hold)
    return Delivery(subjects.HOLDS, sequence, subject, encode(message), {})


async def _heard(listener: Listener) -> list[int]:
    """Return how many states each record had that was told since the last time."""
    told: list[int] = []
    with suppress(TimeoutError):
        while (record := await listener.next(0)) is not None:
            told.append(len(record.states))
    return told


async def test_a_new_hold_is_told_before_the_commit_and_only_once(centre: Centre) -> None:
    """Reviewers need not wait for the disk; what the host did is told when it is recorded."""
    book, intake = await centre.intake()
    hold = opened(HOST)
    run = [_delivery(hold, 1), _delivery(state(hold, 1, HoldStateName.CANCELLED), 2)]
    with book.listen(10, "t") as listener:
        work = await intake.take(run)
        assert await _heard(listener) == [0]
        assert len(work.rows) == 2
        await intake.done(work)
        assert await _heard(listener) == [1]
        again = await intake.take(run)
        await intake.done(again)
        assert await _heard(listener) == [], "delivered again, it is found to be known"


async def test_a_hold_of_long_ago_is_never_taken_for_a_new_one(centre: Centre) -> None:
    """It has left memory; that the trail has it is remembered, also over a restart."""
    hold = opened(HOST)
    ends = state(hold, 1, HoldStateName.CANCELLED)
    await centre.writer.write([opened_row(hold, encode(hold), 1), state_row(ends, 1)])
    book, intake = await centre.intake()
    assert book.register.get(RequestId(hold.hold)) is None
    with book.listen(10, "t") as listener:
        work = await intake.take(
            [
                _delivery(hold, 1),
                _delivery(replace(hold, opened_ns=7), 2),
                _delivery(replace(hold, host=OTHER), 3),
            ]
        )
        await intake.done(work)
        assert await _heard(listener) == []
    assert work.refused == {1, 2}


async def test_an_answer_in_the_trail_waits_for_its_hold(centre: Centre) -> None:
    """The collector was killed after the decision was recorded and before the hold was."""
    hold = opened(HOST)
    request = RequestId(hold.hold)
    vote = Vote(
        vote=VoteId(new_id()),
        request=request,
        by="ann",
        via="api",
        answer=Answer.DENY,
        reason="no",
        digest=hold.digest,
        time_ns=1,
    )
    decision = Decision(
        request=request,
        answer=Answer.DENY,
        ground=Ground.DECISION,
        by="ann",
        via="api",
        reason="no",
        digest=hold.digest,
        votes=(vote.vote,),
        time_ns=2,
    )
    await centre.writer.write([vote_row(vote, "k", 1), decision_row(decision, "k", 1)])
    book, intake = await centre.intake()
    with book.listen(10, "t") as listener:
        work = await intake.take([_delivery(hold, 1)])
        shown = await listener.next(0)
    assert shown is not None
    assert (shown.state, shown.decision, shown.votes) == (RequestState.DENIED, decision, (vote,))
    assert [record.id for record in work.changed] == [request], "and its verdict is delivered"


def test_an_id_that_was_added_is_never_forgotten() -> None:
    """And few others are looked up for nothing."""
    known = Known()
    ids = [new_id() for _ in range(20_000)]
    for one in ids:
        known.add(one)
    assert all(map(known.maybe, ids))
    assert sum(known.maybe(new_id()) for _ in range(20_000)) < 20

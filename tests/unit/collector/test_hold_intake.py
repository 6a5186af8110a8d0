"""What the ingest of holds tells, and when."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from nats.aio.client import Client

from collector.approvals.book import Book
from collector.approvals.decide import Decider
from collector.approvals.register import Register
from collector.config import Trail
from collector.ingest.holds import HoldIntake
from collector.ingest.work import Delivery
from collector.nats.publish import Publisher
from collector.trail.reader import Reader
from collector.trail.store import open_trail
from tests.support.wire_host import opened, state
from wire import subjects
from wire.codec import encode
from wire.ids import HostId
from wire.messages import HoldOpened, HoldState, HoldStateName
from wire.signing import Signer, Verifier

HOST = HostId("a" * 32)


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    """Give a book over an empty trail."""
    connection = open_trail(Trail(file=str(tmp_path / "trail.duckdb")))
    reader = Reader(connection)
    yield Book(Register(), reader)
    reader.close()
    connection.close()


def _delivery(message: HoldOpened | HoldState, sequence: int) -> Delivery:
    subject = subjects.hold(message.host, message.hold)
    return Delivery(subjects.HOLDS, sequence, subject, encode(message), {})


async def test_a_new_hold_is_told_before_the_commit_and_only_once(book: Book) -> None:
    """Reviewers need not wait for the disk; what the host did is told when it is recorded."""
    signer = Signer.generate()
    # Nothing is decided here, so nothing is published.
    publisher = Publisher(Client(), timeout_s=1)
    decider = Decider(book, publisher, signer, Verifier(frozenset({signer.key_id})))
    intake = HoldIntake(book, decider)
    hold = opened(HOST)
    run = [_delivery(hold, 1), _delivery(state(hold, 1, HoldStateName.CANCELLED), 2)]
    told: list[int] = []
    with book.listen(10, "t") as listener:

        async def hear() -> list[int]:
            with suppress(TimeoutError):
                while (record := await listener.next(0)) is not None:
                    told.append(len(record.states))
            return told

        work = await intake.take(run)
        assert await hear() == [0]
        assert len(work.rows) == 2
        await intake.done(work)
        assert await hear() == [0, 1]
        again = await intake.take(run)
        await intake.done(again)
        assert await hear() == [0, 1], "delivered again, it is found to be known"

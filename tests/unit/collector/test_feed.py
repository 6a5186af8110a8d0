"""The way from a stream into the trail, when the trail is slow: nothing is taken twice."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from collector.approvals.book import Book
from collector.approvals.decide import Decider
from collector.approvals.register import Register
from collector.approvals.undecided import Undecided
from collector.config import Trail
from collector.ingest import feed as feeds
from collector.ingest.feed import Feed
from collector.ingest.holds import HoldIntake
from collector.ingest.work import Delivery, Work
from collector.nats.connection import connect
from collector.nats.publish import Publisher
from collector.nats.streams import ensure_streams
from collector.orders.ledger import Ledger
from collector.trail.reader import Reader
from collector.trail.store import open_trail
from collector.trail.writer import Job, Writer
from tests.support.centre import Centre, centre
from tests.support.policies import any_reviewer
from tests.support.wire_host import wire_host
from wire.signing import Signer, Verifier

pytestmark = pytest.mark.nats


class Slow(Writer):
    """The writer, which begins no transaction before it may."""

    may = threading.Event()

    def _transaction(self, jobs: list[Job], *, repeated: bool) -> None:
        assert self.may.wait(60)
        super()._transaction(jobs, repeated=repeated)


class Counting(HoldIntake):
    """The intake, which counts what it is given."""

    taken = 0

    async def take(self, deliveries: Sequence[Delivery]) -> Work:
        """Take, and count."""
        self.taken += len(deliveries)
        return await super().take(deliveries)


class Noticing(Feed):
    """The feed, which says when something came again."""

    again: asyncio.Event

    def _fresh(self, messages: list[Msg]) -> list[Msg]:
        fresh = super()._fresh(messages)
        if len(fresh) < len(messages):
            self.again.set()
        return fresh


@asynccontextmanager
async def _fed(made: Centre, place: Path) -> AsyncIterator[tuple[Noticing, Counting, Reader]]:
    """Run the feed of holds with a writer that waits."""
    made.start_nats()
    Slow.may.clear()
    client = await connect(url=made.nats_url, seed_file=made.state / "keys" / "collector.nk")
    await ensure_streams(client.jetstream())
    connection = open_trail(Trail(file=str(place / "trail.duckdb")))
    writer, reader = Slow(connection, on_fatal=pytest.fail), Reader(connection)
    book, signer = Book(Register(), reader), Signer.generate()
    verifier = Verifier(frozenset({signer.key_id}))
    decider = Decider(book, Publisher(client, timeout_s=5), signer, verifier, any_reviewer())
    intake = Counting(book, decider, Undecided(book, decider.settling), Ledger())
    feed = Noticing(client, intake, writer, trail="t")
    feed.again = asyncio.Event()
    await feed.prepare(client.jetstream())
    task = asyncio.create_task(feed.run())
    try:
        yield feed, intake, reader
    finally:
        Slow.may.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        writer.close()
        reader.close()
        connection.close()
        await client.close()


async def test_what_waits_for_the_trail_and_comes_again_is_taken_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server loses patience before the disk does; others are taken in meanwhile."""
    monkeypatch.setattr(feeds, "_ACK_WAIT_S", 1)
    with centre(tmp_path, start=False) as made:
        bundle = made.enroll("web-1")
        async with _fed(made, tmp_path) as (feed, intake, reader), wire_host(bundle) as host:
            first = await host.open()
            await asyncio.wait_for(feed.again.wait(), 20)
            second = await host.open()
            async with feed._changed:
                await feed._changed.wait_for(lambda: len(feed._taken) == 2)
            Slow.may.set()
            async with feed._changed:
                await feed._changed.wait_for(lambda: not feed._taken)
            assert intake.taken == 2
            stored = {record.hold for record in await reader.unfinished()}
            assert stored == {first.hold, second.hold}

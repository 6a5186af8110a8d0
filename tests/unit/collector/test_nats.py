"""Publishing against a real server: whose message it is, and what is an error."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from collector.errors import CentreError, StateError, UnavailableError
from collector.nats.connection import connect
from collector.nats.publish import Publisher
from collector.nats.pull import Pull
from collector.nats.streams import ensure_streams
from tests.support.centre import Centre, centre
from wire import subjects
from wire.ids import HoldId, HostId, RequestId, new_id

pytestmark = pytest.mark.nats


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    """Give a nats-server with the centre's users, and no collector."""
    with centre(tmp_path_factory.mktemp("publish"), start=False) as made:
        made.start_nats()
        yield made


@pytest.fixture
async def client(server: Centre) -> AsyncIterator[Client]:
    """Give the collector's connection, with the streams made."""
    made = await connect(
        url=server.nats_url, seed_file=server.state / "keys" / "collector.nk", once=True
    )
    await ensure_streams(made.jetstream())
    yield made
    await made.close()


async def test_the_first_message_stays_and_later_ones_are_shown_it(client: Client) -> None:
    """One compare-and-set per subject."""
    publisher = Publisher(client, timeout_s=5)
    subject = subjects.decision(RequestId(new_id()))
    assert await publisher.first(subjects.DECISIONS, subject, b"mine", {"A": "1"}) is None
    stored = await publisher.first(subjects.DECISIONS, subject, b"yours", {"A": "2"})
    assert stored is not None
    assert (stored.data, stored.headers["A"]) == (b"mine", "1")


async def test_our_own_message_whose_acknowledgement_was_lost_is_ours(client: Client) -> None:
    """The same bytes are there: go on as if the acknowledgement had come."""
    publisher = Publisher(client, timeout_s=5)
    subject = subjects.decision(RequestId(new_id()))
    for _ in range(2):
        assert await publisher.first(subjects.DECISIONS, subject, b"mine", {}) is None


async def test_a_duplicate_that_is_no_retry_is_an_error(client: Client) -> None:
    """Somebody else's message has our id: ours is not stored, and that is not kept quiet."""
    publisher = Publisher(client, timeout_s=5, message_id=lambda: "guessed")
    subject = subjects.vote(RequestId(new_id()))
    await publisher.append(subjects.VOTES, subject, b"theirs", {})
    with pytest.raises(CentreError, match="duplicate"):
        await publisher.append(subjects.VOTES, subject, b"ours", {})


async def test_message_ids_are_unguessable(client: Client) -> None:
    """128 random bits, another one for each message."""
    publisher = Publisher(client, timeout_s=5)
    request = RequestId(new_id())
    for _ in range(2):
        await publisher.append(subjects.VOTES, subjects.vote(request), b"x", {})
    js = client.jetstream()
    last = await js.get_last_msg(subjects.VOTES, subjects.vote(request))
    before = await js.get_msg(subjects.VOTES, seq=(last.seq or 0) - 1)
    ids = {(one.headers or {})["Nats-Msg-Id"] for one in (last, before)}
    assert len(ids) == 2
    assert all(len(one) == 32 for one in ids)


async def test_without_a_connection_nothing_is_kept_for_later(tmp_path: Path) -> None:
    """A decision must not arrive after its author was told that nothing was decided."""
    with centre(tmp_path, start=False) as made:
        made.start_nats()
        back = asyncio.Event()
        client = await connect(
            url=made.nats_url,
            seed_file=made.state / "keys" / "collector.nk",
            on_reconnect=back.set,
        )
        try:
            await ensure_streams(client.jetstream())
            publisher = Publisher(client, timeout_s=5)
            subject = subjects.decision(RequestId(new_id()))
            await asyncio.to_thread(made.stop_nats, signal.SIGKILL)
            while client.is_connected:  # noqa: ASYNC110 - the client has no event for it
                await asyncio.sleep(0)
            with pytest.raises(UnavailableError, match="not connected"):
                await publisher.first(subjects.DECISIONS, subject, b"mine", {})
            await asyncio.to_thread(made.start_nats)
            await asyncio.wait_for(back.wait(), 30)
            assert await publisher.stored(subjects.DECISIONS, subject) is None
            assert await publisher.first(subjects.DECISIONS, subject, b"mine", {}) is None
        finally:
            await client.close()


async def test_a_pull_gives_what_is_there_and_then_waits(client: Client) -> None:
    """One message does not wait for a full batch, and a full batch leads to the next one."""
    js = client.jetstream()
    host, consumer = HostId(new_id()), f"test-{new_id()}"
    await js.add_consumer(
        subjects.VERDICTS, durable_name=consumer, filter_subject=f"hf.verdict.{host}.*"
    )
    publisher = Publisher(client, timeout_s=5)

    async def publish(text: bytes) -> None:
        subject = subjects.verdict(host, HoldId(new_id()))
        assert await publisher.first(subjects.VERDICTS, subject, text, {}) is None

    async with Pull(
        client, stream=subjects.VERDICTS, consumer=consumer, batch=3, max_bytes=1 << 20
    ) as pull:
        got: list[bytes] = []
        waiting = asyncio.create_task(pull.next())
        await publish(b"0")
        got += [message.data for message in await waiting]
        for number in range(1, 11):
            await publish(str(number).encode())
        while len(got) < 11:
            got += [message.data for message in await pull.next()]
        assert got == [str(number).encode() for number in range(11)]
        waiting = asyncio.create_task(pull.next())
        pull.renew()  # as after a reconnect: the request is made again
        await publish(b"last")
        assert [message.data for message in await waiting] == [b"last"]


async def test_a_wrong_key_is_refused_with_a_remedy(server: Centre, tmp_path: Path) -> None:
    """`enroll` fails at once instead of trying for ever."""
    with pytest.raises(StateError, match="holdfast-collector init"):
        await connect(url=server.nats_url, seed_file=tmp_path / "none", once=True)
    with pytest.raises(CentreError, match="is it running"):
        await connect(
            url="nats://127.0.0.1:1",
            seed_file=server.state / "keys" / "collector.nk",
            once=True,
        )

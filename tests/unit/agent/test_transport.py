"""The agent against a real nats-server, with nothing but a host's permissions."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.errors import JournalError, TransportError
from agent.holds.model import Hold, Step
from agent.journal import Journal
from agent.rows import notice_row, to_columns
from agent.tasks import end
from agent.transport.announcer import Announcer
from agent.transport.inbox import Inbox
from agent.transport.link import Link
from agent.transport.outbox import Outbox
from agent.transport.sender import EventSender
from agent.transport.spool import Spool
from tests.support.holds import hold_of
from tests.support.nats_for_agents import Nats, nats_for_agents
from wire import codec, subjects
from wire.ids import HostId, MessageId, new_id
from wire.messages import EventBatch, HoldState, HoldStateName, HostRecord

pytestmark = pytest.mark.nats


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Nats]:
    """A server that is not started."""
    directory = tmp_path / "nats"
    directory.mkdir()
    with nats_for_agents(directory) as made:
        yield made


@asynccontextmanager
async def running(*jobs: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run the agent's tasks for the length of the block."""
    tasks = [asyncio.ensure_future(job()) for job in jobs]
    try:
        yield
    finally:
        await end(tasks)


@asynccontextmanager
async def stream(server: Nats, name: str) -> AsyncIterator["asyncio.Queue[tuple[str, bytes]]"]:
    """Give what a stream has and gets, as (subject, data)."""
    client = await server.admin()
    found: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def on_message(message: object) -> None:
        found.put_nowait((message.subject, message.data))  # type: ignore[attr-defined]

    await client.jetstream().subscribe(">", stream=name, cb=on_message, ordered_consumer=True)
    try:
        yield found
    finally:
        await client.close()


def say(hold: Hold, host: HostId, sequence: int) -> Step:
    """Return a step that says one state."""
    state = HoldState(
        hold=hold.id,
        host=host,
        sequence=sequence,
        state=HoldStateName.APPROVED,
        time_ns=sequence,
    )
    return Step(holds=(hold,), says=(state,))


async def test_what_was_said_before_there_was_a_server_arrives_in_order(
    server: Nats, tmp_path: Path
) -> None:
    """The agent starts without NATS and without streams; nothing is lost, nothing overtakes."""
    link = Link(server.identity)
    with closing(Journal(tmp_path / "journal.db", server.host)) as journal:
        holds = [hold_of(number=number) for number in (1, 2)]
        for sequence in range(1, 6):
            for hold in holds:
                journal.record(say(hold, server.host, sequence), 1)
        outbox = Outbox(journal, link)
        async with running(link.run, outbox.run):
            server.start()
            await link.ready()
            await server.make_streams()
            await outbox.empty()
        assert journal.unpublished() == 0
        async with stream(server, subjects.HOLDS) as found:
            got = [await found.get() for _ in range(10)]
        for hold in holds:
            mine = [data for subject, data in got if subject == subjects.hold(server.host, hold.id)]
            states = [codec.decode_as(data, HoldState) for data in mine]
            assert [state.sequence for state in states] == [1, 2, 3, 4, 5]


async def test_a_message_whose_acknowledgement_was_lost_is_in_the_stream_once(
    server: Nats, tmp_path: Path
) -> None:
    """The next run sends it again under the same id, and takes `duplicate` for an answer."""
    server.start()
    await server.make_streams()
    link = Link(server.identity)
    with closing(Journal(tmp_path / "journal.db", server.host)) as journal:
        journal.record(say(hold_of(), server.host, 1), 1)
        (letter,) = journal.letters(10)
        async with running(link.run):
            await link.ready()
            assert not await link.publish(letter.subject, letter.data, letter.message_id)
        again = Link(server.identity)
        outbox = Outbox(journal, again)
        async with running(again.run, outbox.run):
            await outbox.empty()
    client = await server.admin()
    info = await client.jetstream().stream_info(subjects.HOLDS)
    assert info.state.messages == 1
    await client.close()


async def test_an_id_that_somebody_else_has_used_does_not_swallow_a_message(
    server: Nats, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`duplicate` to a first attempt is no acknowledgement: it goes out under another id."""
    server.start()
    await server.make_streams()
    link = Link(server.identity)
    with closing(Journal(tmp_path / "journal.db", server.host)) as journal:
        outbox = Outbox(journal, link)
        journal.record(say(hold_of(), server.host, 1), 1)
        (letter,) = journal.letters(10)
        thief = await server.admin()
        await thief.jetstream().publish(
            "hf.hold.other.other", b"", headers={"Nats-Msg-Id": letter.message_id}
        )
        await thief.close()
        async with running(link.run, outbox.run):
            await outbox.empty()
        async with stream(server, subjects.HOLDS) as found:
            got = {(await found.get())[0] for _ in range(2)}
        assert letter.subject in got
    assert "under another" in caplog.text


class Reluctant:
    """A link whose stream does not answer for one hold before it may."""

    def __init__(self, slow: str) -> None:
        self._slow = slow
        self.may = asyncio.Event()
        self.stored: asyncio.Queue[str] = asyncio.Queue()

    async def ready(self) -> None:
        """Always is."""

    async def publish(self, subject: str, data: bytes, message_id: MessageId | None) -> bool:
        """Store at once, or when it may."""
        if self._slow in subject:
            await self.may.wait()
        self.stored.put_nowait(subject)
        return False


async def test_a_new_hold_does_not_wait_for_the_messages_of_another(tmp_path: Path) -> None:
    """One without an answer is in nobody's way, and its own messages stay in order."""
    host = HostId("a" * 32)
    with closing(Journal(tmp_path / "journal.db", host)) as journal:
        slow, quick = hold_of(number=1), hold_of(number=2)
        link = Reluctant(slow.id)
        outbox = Outbox(journal, link)
        journal.record(say(slow, host, 1), 1)
        journal.record(say(slow, host, 2), 1)
        async with running(outbox.run):
            await asyncio.sleep(0)
            for sequence in (1, 2):
                journal.record(say(quick, host, sequence), 1)
                outbox.wake()
                assert quick.id in await link.stored.get()
            assert journal.unpublished() >= 2
            link.may.set()
            assert [slow.id in await link.stored.get() for _ in range(2)] == [True, True]
            await outbox.empty()
        assert journal.unpublished() == 0


async def test_events_arrive_as_a_chain_over_a_restart_of_the_server(
    server: Nats, tmp_path: Path
) -> None:
    """Batches come once and in order, whatever happened to the connection."""
    server.start()
    await server.make_streams()
    link = Link(server.identity)
    spool_path = tmp_path / "events.db"
    with closing(Spool(spool_path, server.host, limit_bytes=10_000_000)) as spool:
        sender = EventSender(spool, link, server.host, SystemClock())
        async with running(link.run, sender.run):
            async with stream(server, subjects.EVENTS) as found:
                sender.add(to_columns([notice_row(1, "test", "first")]), 1)
                _, first = await found.get()
            server.stop()
            sender.add(to_columns([notice_row(2, "test", "second")]), 1)
            sender.add_row(notice_row(3, "test", "third"))
            server.start()
            async with stream(server, subjects.EVENTS) as found:
                (_, again), (_, second) = await found.get(), await found.get()
    assert again == first
    batches = [codec.decode_as(data, EventBatch) for data in (first, second)]
    assert [batch.sequence for batch in batches] == [1, 2]
    assert [batch.first for batch in batches] == [1, 2]
    assert batches[1].previous == codec.decode_as(first, EventBatch).chain
    assert batches[1].columns["detail"] == ["test: second", "test: third"]


async def test_a_verdict_comes_at_once_and_is_acknowledged_once_it_is_recorded(
    server: Nats,
) -> None:
    """A journal that refuses has it delivered again; after that it never comes back."""
    server.start()
    await server.make_streams()
    got: asyncio.Queue[bytes] = asyncio.Queue()
    refuse = [True]

    def on_verdict(data: bytes, headers: dict[str, str] | None) -> None:
        got.put_nowait(data)
        if refuse.pop():
            refuse.append(False)
            raise JournalError("the disk is full")
        refuse.append(False)

    link = Link(server.identity)
    inbox = Inbox(link, on_verdict)
    client = await server.admin()
    js = client.jetstream()
    async with running(link.run, inbox.run):
        await js.publish(f"hf.verdict.{server.host}.{'1' * 32}", b"one")
        assert [await got.get(), await got.get()] == [b"one", b"one"]
        await js.publish(f"hf.verdict.{'f' * 32}.{'1' * 32}", b"for another host")
        await js.publish(f"hf.verdict.{server.host}.{'2' * 32}", b"two")
        assert await got.get() == b"two"
        consumer = subjects.verdict_consumer(server.host)
        # Three deliveries: the one that was refused came twice, the other once.
        await link.ready()
        info = await js.consumer_info(subjects.VERDICTS, consumer)
        assert info.delivered.consumer_seq == 3
    await client.close()


async def test_a_verdict_that_came_while_the_server_was_away_is_fetched_on_return(
    server: Nats,
) -> None:
    """A request for messages dies with its connection; the next one asks anew, at once."""
    server.start()
    await server.make_streams()
    got: asyncio.Queue[bytes] = asyncio.Queue()
    link = Link(server.identity)
    inbox = Inbox(link, lambda data, headers: got.put_nowait(data))
    async with running(link.run, inbox.run):
        await link.ready()
        client = await server.admin()
        await client.jetstream().publish(f"hf.verdict.{server.host}.{'1' * 32}", b"one")
        assert await got.get() == b"one"
        await client.close()
        server.stop()
        server.start()
        client = await server.admin()
        await client.jetstream().publish(f"hf.verdict.{server.host}.{'2' * 32}", b"two")
        assert await asyncio.wait_for(got.get(), 15) == b"two"
        await client.close()


async def test_the_host_says_who_it_is_at_each_connection(server: Nats) -> None:
    """The record is in the bucket of hosts under the host's id, and changes with the rules."""
    server.start()
    await server.make_streams()
    record = HostRecord(
        host=server.host,
        name="box",
        mode="stop",
        kernel="6.1",
        version="1",
        boot_id="b",
        subjects=("ai-worker",),
        ruleset="one",
        started_ns=1,
    )
    link = Link(server.identity)
    announcer = Announcer(link, record)
    async with (
        running(link.run, announcer.run),
        stream(server, f"KV_{subjects.HOSTS_BUCKET}") as found,
    ):
        subject, data = await found.get()
        assert subject == f"$KV.{subjects.HOSTS_BUCKET}.{server.host}"
        assert codec.decode(data) == record
        announcer.change(replace(record, ruleset="two"))
        _, data = await found.get()
        assert codec.decode_as(data, HostRecord).ruleset == "two"


async def test_a_host_can_say_nothing_under_the_id_of_another(
    server: Nats, caplog: pytest.LogCaptureFixture
) -> None:
    """The server refuses; the agent's own permissions are all it has."""
    caplog.set_level(logging.WARNING)
    server.start()
    await server.make_streams()
    link = Link(server.identity)
    async with running(link.run):
        await link.ready()
        with pytest.raises(TransportError):
            await link.publish(f"hf.hold.{'f' * 32}.{'1' * 32}", b"x", MessageId(new_id()))
    assert "ermissions" in caplog.text


async def test_the_link_can_be_stopped_at_any_moment(server: Nats) -> None:
    """Also in the very moment in which a connection is made."""
    server.start()
    for step in range(10):
        link = Link(server.identity)
        task = asyncio.ensure_future(link.run())
        await asyncio.sleep(step / 1_000)
        await end([task])
        assert not link.connected

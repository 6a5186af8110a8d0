"""A collector with the Slack channel in this process, on a real nats-server and a real trail.

What is replaced is Slack itself (slack_stand_in). Everything that decides is what the daemon has.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from collector import config
from collector.approvals.book import Book
from collector.approvals.record import Record
from collector.channels.asked import asked_by
from collector.channels.dispatcher import Dispatcher
from collector.channels.interface import Route
from collector.channels.notices import Notices
from collector.channels.slack.app import new_client
from collector.channels.slack.channel import SlackChannel
from collector.channels.slack.desk import Desk, Extras
from collector.channels.slack.door import CHANNEL, Door
from collector.channels.slack.for_a_time import ForATime
from collector.channels.slack.incoming import Incoming
from collector.channels.slack.places import Places
from collector.channels.slack.settings import Secrets, Slack
from collector.channels.slack.wiring import link_page
from collector.channels.store import Cards
from collector.channels.wiring import routes as routes_by
from collector.daemon import open_policies
from collector.deciding import Deciding, start_deciding
from collector.identity.hosts import HostNames
from collector.identity.links import Links
from collector.identity.people import Caller
from collector.identity.roles import Role
from collector.identity.signed_in import Identity, remember
from collector.ingest.checking import Checkers
from collector.ingest.feed import Feed
from collector.keys import read_signer
from collector.nats.connection import connect
from collector.nats.publish import Publisher
from collector.nats.streams import ensure_host_consumers, ensure_streams
from collector.shown.cards import ShownCards
from collector.shown.file import FILE as SHOWN
from collector.shown.file import ShownFile
from collector.trail.reader import Reader
from collector.trail.store import open_trail, trail_id
from collector.trail.writer import Writer
from collector.web.settings import quarantine_url, request_url
from tests.support.centre import Centre
from tests.support.slack_stand_in import (
    APP_TOKEN,
    APPROVALS,
    BOT_TOKEN,
    SECRET,
    TEAM,
    Json,
    SlackStandIn,
)
from tests.support.wire_host import WireHost, wire_host
from wire.ids import RequestId
from wire.messages import HoldOpened
from wire.signing import Verifier

BASE_URL = "https://holdfast.example.com"
TO_CHANNEL = (Route(CHANNEL, APPROVALS),)


@dataclass
class House:
    """The running parts, and people with Slack accounts."""

    slack: SlackStandIn
    incoming: Incoming
    desk: Desk
    book: Book
    host: WireHost
    identities: Path
    links: Links

    async def link(self, user: str, name: str, role: Role = Role.REVIEWER, **more: object) -> str:
        """Add a member to Slack and make the account this person's; return the account's id."""
        self.slack.add(user, name)
        await link_account(self.identities, user, name, role, **more)
        return user

    async def open(self, **options: object) -> HoldOpened:
        """Open a hold on the host."""
        return await self.host.open(**options)

    async def card(self, hold: HoldOpened) -> Json:
        """Return the card of a request once Slack has it and its place is on record."""
        card = await self.slack.card(hold.hold)
        reference = f"{card['channel']}/{card['ts']}"
        # The record of cards tells nobody of what it stores.
        for _ in range(2000):
            if await self.desk.cards.showing(CHANNEL, reference) is not None:
                return card
            await asyncio.sleep(0.01)
        raise AssertionError(f"{reference} is not on record")

    async def until(self, hold: HoldOpened, so: Callable[[Record], object]) -> Record:
        """Return a request once it is so."""
        with self.book.listen(1000, "test") as listener:
            while not so(record := await self.record(hold)):
                await listener.next(20)
        return record

    async def record(self, hold: HoldOpened) -> Record:
        """Return a request as the collector knows it now."""
        record = await self.book.get(RequestId(hold.hold))
        assert record is not None
        return record


async def link_account(
    identities: Path, user: str, name: str, role: Role = Role.REVIEWER, **more: object
) -> None:
    """Sign a person in, and make a Slack account theirs."""
    now = time.time_ns()
    facts: dict[str, object] = {
        "issuer": "https://id.example.com",
        "subject": name,
        "name": name,
        "role": role,
        "authenticated_ns": now,
    }
    identity = Identity(**(facts | more))  # type: ignore[arg-type]
    remember(identities, identity, known_until_ns=now + 10**15)
    links = Links(identities)
    try:
        code = await links.start_link(CHANNEL, f"{TEAM}/{user}")
        await links.finish_link(
            code,
            Caller(name=name, role=role, logins=(), token="web", signed_in=True),  # noqa: S106
        )
    finally:
        links.close()


@asynccontextmanager
async def slack_house(
    centre: Centre,
    slack: SlackStandIn,
    bundle: Path,
    *,
    routes: tuple[Route, ...] = TO_CHANNEL,
    fallback: tuple[Route, ...] = (),
    owner: Route | None = None,
    people: str = "",
    extras: Extras | None = None,
    mode: str = "socket",
    cards: Path | None = None,
    timeout_s: int = 30,
) -> AsyncIterator[House]:
    """Run it all; `cards` is the file of what was posted, for a second run that takes it up.

    `routes` are for requests whose policy names none.
    """
    settings = config.load(centre.config)
    identities = Path(settings.identities.file)
    own = Slack(
        bot_token_file="-",  # noqa: S106
        mode="http" if mode == "http" else "socket",
        api_url=f"{slack.url}/api/",
        request_timeout_s=timeout_s,
    )
    async with AsyncExitStack() as stack:
        shown = await _shown_cards(identities, stack)
        deciding = await _centre(settings, stack, shown)
        book, policies = deciding.book, deciding.policies
        extras = extras or Extras(grants=ForATime(deciding.issuer), orders=deciding.orders)
        store = Cards(cards or centre.directory / f"cards-{time.time_ns()}.sqlite3")
        stack.push_async_callback(store.close)
        links = Links(identities)
        stack.callback(links.close)
        notices = Notices(
            shown,
            lambda request: request_url(BASE_URL, request),
            partial(quarantine_url, BASE_URL),
            asked_by(policies),
        )
        client = new_client(own, BOT_TOKEN)
        door = Door(client, links, link_page(BASE_URL))
        desk = Desk(book, deciding.decider, policies, store, notices, door, BASE_URL, extras)
        incoming = Incoming(own, Secrets(BOT_TOKEN, APP_TOKEN, SECRET), desk, client)
        channel = SlackChannel(
            client, book.get, Places(client, door.accounts_of), desk.extras, incoming
        )
        where = routes_by(policies, routes, fallback, owner=owner, people=people)
        besides = () if owner is None else (owner,)
        dispatcher = Dispatcher(
            book, store, notices, [channel], where, fallback=fallback, besides=besides
        )
        _run(stack, dispatcher.run())
        _run(stack, deciding.waiting(dispatcher).run())
        _run(stack, policies.follow_people())
        await asyncio.wait_for(incoming.ready.wait(), 20)
        host = await stack.enter_async_context(wire_host(bundle))
        yield House(slack, incoming, desk, book, host, identities, links)


async def _shown_cards(identities: Path, stack: AsyncExitStack) -> ShownCards:
    file = ShownFile(identities.with_name(SHOWN))
    stack.push_async_callback(file.close)
    shown = ShownCards(HostNames(identities), file)
    stack.push_async_callback(shown.written)
    return shown


async def _centre(settings: config.Config, stack: AsyncExitStack, shown: ShownCards) -> Deciding:
    """Run the part of the daemon that takes in holds and decides."""
    signer = read_signer(Path(settings.signing.key_file))
    connection = open_trail(settings.trail)
    stack.callback(connection.close)
    writer = Writer(connection, on_fatal=lambda why: None)
    stack.push_async_callback(asyncio.to_thread, writer.close)
    reader = Reader(connection)
    stack.push_async_callback(asyncio.to_thread, reader.close)
    client = await connect(
        url=settings.nats.url, seed_file=Path(settings.nats.seed_file), once=True
    )
    stack.push_async_callback(client.close)
    await ensure_streams(client.jetstream())
    names = HostNames(Path(settings.identities.file))
    for host in names.all():
        await ensure_host_consumers(client.jetstream(), host.host)
    deciding = await start_deciding(
        settings,
        reader,
        Publisher(client, timeout_s=5),
        open_policies(settings, names),
        names,
        signer=signer,
        verifier=Verifier(frozenset({signer.key_id})),
        shown=shown,
    )
    for intake in deciding.intakes(Checkers(0)):
        feed = Feed(client, intake, writer, trail=trail_id(connection))
        await feed.prepare(client.jetstream())
        _run(stack, feed.run())
    _run(stack, deciding.issuer.run())
    return deciding


def _run(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Run a part until the end of the stack."""
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)

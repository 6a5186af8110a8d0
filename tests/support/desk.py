"""A book of requests over a real trail, and the channels that show them, without hosts or NATS.

async with desk(tmp_path) as centre:
    centre.open(make_opened())
    async with centre.showing([channel], routes=["webhook:siem"]) as dispatcher:
        centre.state(...)
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from collector.approvals.book import Book
from collector.approvals.record import Record
from collector.approvals.register import Changed, Register
from collector.asks.opened import as_opened
from collector.channels.dispatcher import Dispatcher
from collector.channels.interface import Asked, Channel, Route, Routes
from collector.channels.notices import Notices
from collector.channels.store import Cards
from collector.config import Trail
from collector.identity.hosts import HostNames
from collector.shown.cards import ShownCards
from collector.trail.reader import Reader
from collector.trail.rows import Row, comment_row, decision_row, opened_row, state_row, vote_row
from collector.trail.store import open_trail
from collector.trail.writer import Writer
from wire.codec import encode
from wire.messages import AskOpened, Comment, Decision, HoldOpened, HoldState, Vote

Message = HoldOpened | HoldState | Vote | Comment | Decision
LINK = "https://holdfast.example.com/requests/"


class Desk:
    """What a collector knows of requests. `tell` does what the ingest does with one message."""

    def __init__(self, directory: Path, writer: Writer, reader: Reader) -> None:
        self.directory = directory
        self.cards_file = directory / "channels.sqlite3"
        self.book = Book(Register(), reader)
        self._writer = writer
        self._reader = reader

    async def tell(self, *messages: Message) -> Record:
        """Take in messages, in the trail and in memory, and tell who listens; return the last."""
        for message in messages:
            await self._writer.write([_row(message)])
            if isinstance(message, HoldOpened):
                outcome = self.book.opened(message)
            elif isinstance(message, HoldState):
                outcome = self.book.register.state(message)
            else:
                outcome = self.book.register.said(message)
            assert isinstance(outcome, Changed)
            newest = outcome.record
            self.book.announce(newest)
        return newest

    async def tell_ask(self, ask: AskOpened) -> Record:
        """Take in an ask, in the trail and in memory, and tell who listens."""
        opened = as_opened(ask)
        await self._writer.write([opened_row(opened, encode(ask), 1)])
        outcome = self.book.opened(opened)
        assert isinstance(outcome, Changed)
        self.book.announce(outcome.record)
        return outcome.record

    async def restart(self) -> None:
        """Know what a collector knows that starts now: what the trail has and is not finished."""
        self.book = Book(Register(), self._reader)
        await self.book.load()

    @asynccontextmanager
    async def showing(
        self,
        channels: Sequence[Channel],
        routes: Sequence[str] | Routes,
        fallback: Sequence[str] = (),
        asked: Callable[[Record], Asked | None] = lambda _: None,
    ) -> AsyncIterator[Dispatcher]:
        """Run the channels; when the block ends they are stopped as the collector stops them."""
        if callable(routes):
            where = routes
        else:
            fixed = [Route.parse(text) for text in routes]
            where = lambda record: fixed  # noqa: E731 - a name for both cases
        cards = Cards(self.cards_file)
        names = HostNames(self.directory / "identities.db")
        notices = Notices(ShownCards(names), lambda request: LINK + request, asked=asked)
        dispatcher = Dispatcher(
            self.book, cards, notices, channels, where, [Route.parse(text) for text in fallback]
        )
        running = asyncio.create_task(dispatcher.run())
        try:
            yield dispatcher
            if running.done():
                running.result()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await dispatcher.close()
            await cards.close()


@asynccontextmanager
async def desk(directory: Path) -> AsyncIterator[Desk]:
    """Give a desk with an empty trail in `directory`."""
    connection = open_trail(Trail(file=str(directory / "trail.duckdb")))
    writer, reader = Writer(connection, on_fatal=pytest.fail), Reader(connection)
    try:
        yield Desk(directory, writer, reader)
    finally:
        reader.close()
        writer.close()
        connection.close()


def _row(message: Message) -> Row:
    match message:
        case HoldOpened():
            return opened_row(message, encode(message), 1)
        case HoldState():
            return state_row(message, 1)
        case Vote():
            return vote_row(message, "key", 1)
        case Comment():
            return comment_row(message, "key", 1)
        case Decision():
            return decision_row(message, "key", 1)

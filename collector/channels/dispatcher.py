"""Keeps every card current: follows the book, and sees that each route shows what it should.

Nothing of what is wanted lives in memory only: it follows from the requests that wait, the routes
they have, and the record of cards. So a restart, or a queue that ran over, starts from there anew.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from collector.approvals.book import Book
from collector.approvals.capped import Capped, CappedSessions, named_by
from collector.approvals.record import Record
from collector.channels.interface import Channel, Notice, Posted, Route, Routes
from collector.channels.lane import Lane, LaneHealth
from collector.channels.notices import Notices, Shown, glass_broken, version_of
from collector.channels.store import Cards, KnownCard
from collector.errors import ChannelError, CollectorError
from wire.ids import RequestId

log = logging.getLogger(__name__)

_QUEUE = 1024
_IDLE_S = 60.0
_AGAIN_S = 2.0
# How long cards that are under way may take when the collector stops.
_END_S = 5.0
_FAILURES = 50
# How long ago the glass may have been broken for people to be told of it still.
_TOLD_OF_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Overview:
    """How the channels do: every route in use, and the cards that were refused for good."""

    lanes: tuple[LaneHealth, ...]
    failures: tuple[KnownCard, ...]


class Dispatcher:
    """Posts and updates the cards of all requests on all channels. Used from one event loop."""

    def __init__(
        self,
        book: Book,
        cards: Cards,
        notices: Notices,
        channels: Sequence[Channel],
        routes: Routes,
        fallback: Sequence[Route] = (),
        besides: Sequence[Route] = (),
    ) -> None:
        """`fallback` is where a request goes besides, once one of its routes has refused it.

        A refusal by one of `besides` is no reason for that where it is shown elsewhere, too.
        """
        self._book = book
        self._sessions = CappedSessions(book)
        self._cards = cards
        self._notices = notices
        self._channels = {channel.name: channel for channel in channels}
        self._routes = routes
        self._fallback = tuple(fallback)
        self._besides = frozenset(besides)
        self._lanes: dict[Route, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = False

    async def run(self) -> None:
        """Work until the book closes; raise StateError if the record of cards cannot be used."""
        await self._cards.start()
        self._running = True
        incoming = [asyncio.create_task(_serve(one)) for one in self._channels.values()]
        try:
            while await self._follow():
                pass
        finally:
            self._running = False
            for task in incoming:
                task.cancel()
            await asyncio.gather(*incoming, return_exceptions=True)
            for lane in self._lanes.values():
                lane.stop()

    async def close(self) -> None:
        """Let the cards that are under way be recorded, after `run` has ended."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_END_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def channel(self, name: str) -> Channel | None:
        """Return the channel of this name, if it is set up."""
        return self._channels.get(name)

    async def reconsider(self, request: RequestId) -> None:
        """Ask for the routes of a request anew: an escalation may have added one."""
        record = await self._book.get(request)
        if record is not None and self._running:
            await self._consider(self._book.whole(record))  # each of its holds has its own time

    async def overview(self) -> Overview:
        """Return how the channels do; raise StateError if the record cannot be read."""
        lanes = tuple(self._lanes[route].health() for route in sorted(self._lanes))
        return Overview(lanes, tuple(await self._cards.failures(_FAILURES)))

    async def _follow(self) -> bool:
        """Follow the book until there is a reason to start over; return False at its end."""
        with self._book.listen(_QUEUE, "channels") as listener:
            try:
                await self._reconcile()
                while not listener.overrun.is_set():
                    try:
                        record = await listener.next(_IDLE_S)
                    except TimeoutError:
                        continue
                    if record is None:
                        return False
                    await self._consider(record)
                log.warning("channels: more has changed than could be followed; looking at all")
            except CollectorError as error:
                log.error("channels: %s; looking at all again", error)
                await asyncio.sleep(_AGAIN_S)
        return True

    async def _reconcile(self) -> None:
        """Want every waiting request where it should be, and every card that is not at its end."""
        for record in reversed(self._book.register.requests()):
            await self._consider(record)
        # Who was passed over is told, also where it was all over before they could be.
        for request in await self._book.glass_broken(time.time_ns() - _TOLD_OF_NS):
            if (broken := await self._book.get(request)) is not None:
                await self._consider(self._book.whole(broken))
        for card in await self._cards.open():
            # Version 0: whatever the trail says. It may not have the hold any more, or not yet.
            self._lane(card.route).want(card.request, 0)

    async def _consider(self, shown: Shown) -> None:
        """Want it where it should be, and with a request the summary of its session."""
        version = 0 if isinstance(shown, Capped) else version_of(shown)
        known = await self._cards.of(shown.id)
        routes = [
            *(route for one in _requests(shown) for route in self._asked(one)),
            *(card.route for card in known),
            # Not on disk yet, and perhaps no route of the request any more.
            *(lane.route for lane in self._lanes.values() if shown.id in lane),
        ]
        if self._wants_fallback(shown, known, routes):
            routes.extend(self._fallback)
        for route in dict.fromkeys(routes):
            self._lane(route).want(shown.id, version)
        if isinstance(shown, Capped):
            return
        for one in self._sessions.touched(shown):
            if not self._sessions.is_alive(one) and await self._is_settled(one):
                continue
            if (session := await self._sessions.find(one)) is not None:
                await self._consider(session)

    def _wants_fallback(
        self, shown: Shown, known: Sequence[KnownCard], routes: Sequence[Route]
    ) -> bool:
        """Say whether it is not seen, or an alarm not heard, where it should be."""
        broken = glass_broken(shown)
        missed = [
            card.route
            for card in known
            if card.failed and (card.posted is None or (broken and not card.told))
        ]
        elsewhere = bool(set(routes) - self._besides)
        return any(not elsewhere or route not in self._besides for route in missed)

    async def _is_settled(self, one: RequestId) -> bool:
        """Say whether no card of it needs to change any more."""
        cards = await self._cards.of(one)
        under_way = any(one in lane for lane in self._lanes.values())
        return not under_way and all(card.finished for card in cards)

    async def _find(self, request: RequestId) -> Shown | None:
        if named_by(request) is not None:
            return await self._sessions.find(request)
        return await self._book.get(request)

    def _asked(self, record: Record) -> Sequence[Route]:
        try:
            return self._routes(record)
        except Exception:  # whatever the policy trips over, the request must be seen
            log.exception("channels: no routes for request %s; it goes to the fallback", record.id)
            return self._fallback

    def _lane(self, route: Route) -> Lane:
        lane = self._lanes.get(route)
        if lane is None:
            channel = self._channels.get(route.channel) or _Missing(route.channel)
            lane = Lane(
                route, channel, self._find, self._cards, self._notices, refused=self._consider
            )
            self._lanes[route] = lane
            self._tasks.add(asyncio.create_task(lane.run(), name=f"channel {route}"))
        return lane


def _requests(shown: Shown) -> Sequence[Record]:
    return shown.waiting if isinstance(shown, Capped) else (shown,)


class _Missing:
    """Stands for a channel that a route names and nobody has set up."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def post(self, notice: Notice) -> Posted:
        raise ChannelError(f"no channel {self.name!r} is set up; add its section to collector.toml")

    async def update(self, posted: Posted, notice: Notice) -> Posted:
        return await self.post(notice)

    async def run(self) -> None:
        """Nothing comes in."""


async def _serve(channel: Channel) -> None:
    """Keep the incoming side of a channel going; the others do not depend on it."""
    while True:
        try:
            return await channel.run()
        except Exception:  # the top of the channel
            log.exception("channel %s failed; started again", channel.name)
        await asyncio.sleep(_AGAIN_S)

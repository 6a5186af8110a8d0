"""One route at work: shows what is wanted there, one card at a time, until it is shown.

What is about to be posted is on disk before it is sent, and what was accepted is on disk before
the next card is begun: a card is doubled only if the collector dies, or an answer is lost, between.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from collector.channels.backlog import Backlog, Item
from collector.channels.interface import Channel, Posted, Route
from collector.channels.notices import Notices, Shown, glass_broken, version_of
from collector.channels.store import Cards, KnownCard
from collector.errors import ChannelBusyError, ChannelError, CollectorError, StateError
from wire.ids import RequestId

log = logging.getLogger(__name__)

_DISK_S = 2.0


@dataclass(frozen=True, slots=True)
class LaneHealth:
    """How a route does. `trouble` is what went wrong last, empty since something worked."""

    route: Route
    waiting: int
    trouble: str
    worked_ns: int | None


class Lane:
    """The cards of one route, one after the other. Other routes never wait for it."""

    def __init__(
        self,
        route: Route,
        channel: Channel,
        find: Callable[[RequestId], Awaitable[Shown | None]],
        cards: Cards,
        notices: Notices,
        refused: Callable[[Shown], Awaitable[None]],
    ) -> None:
        """`find` gives what a card is of, as it stands.

        `refused` hears of a card that could not be posted here for good.
        """
        self.route = route
        self._channel = channel
        self._find = find
        self._cards = cards
        self._notices = notices
        self._refused = refused
        self._backlog = Backlog()
        self._current: RequestId | None = None
        self._wake = asyncio.Event()
        self._stopped = False
        self._trouble = ""
        self._worked_ns: int | None = None

    def want(self, request: RequestId, version: int) -> None:
        """See to it that the card shows this version of the request or a newer one."""
        self._backlog.want(request, version)
        self._wake.set()

    def __contains__(self, request: RequestId) -> bool:
        return request == self._current or request in self._backlog

    def stop(self) -> None:
        """End after the card that is under way."""
        self._stopped = True
        self._wake.set()

    def health(self) -> LaneHealth:
        """Return how the route does."""
        waiting = len(self._backlog) + (self._current is not None)
        return LaneHealth(self.route, waiting, self._trouble, self._worked_ns)

    async def run(self) -> None:
        """Work until `stop`."""
        clock = asyncio.get_running_loop().time
        while not self._stopped:
            self._wake.clear()
            item = self._backlog.take(clock())
            if item is not None:
                self._current = item.request
                await self._try(item, clock)
                self._current = None
                continue
            due = self._backlog.due()
            wait_s = None if due is None else max(0.0, due - clock())
            try:
                await asyncio.wait_for(self._wake.wait(), wait_s)
            except TimeoutError:
                continue

    async def _try(self, item: Item, clock: Callable[[], float]) -> None:
        try:
            await self._show(item)
        except ChannelBusyError as error:
            self._fail(item, error, clock(), error.retry_after_s)
        except CollectorError as error:
            self._fail(item, error, clock(), None)
        except Exception as error:  # the top of the lane: other cards go on
            log.exception("channel %s: request %s cannot be shown", self.route, item.request)
            self._fail(item, error, clock(), None)
        else:
            self._backlog.worked(item)

    def _fail(self, item: Item, error: Exception, now: float, wish_s: float | None) -> None:
        self._trouble = str(error) or type(error).__name__
        log.warning(
            "channel %s: request %s is not shown yet: %s", self.route, item.request, self._trouble
        )
        self._backlog.failed(item, now, wish_s)

    async def _show(self, item: Item) -> None:
        record = await self._find(item.request)
        if record is None or version_of(record) < item.version:
            if item.version:
                raise ChannelBusyError("the trail does not have its newest state yet")
            return
        known = await self._cards.get(item.request, self.route)
        # Not "at least": after a restart identical holds may be folded in another way.
        same = known is not None and version_of(record) in (known.shown, known.failed)
        if same and known is not None and known.beside == self._notices.beside(record):
            return
        try:
            posted = await self._deliver(record, known)
        except ChannelError as error:
            await self._refuse(record, known, str(error))
            return
        if posted is not None:
            await self._record(record, posted)
            self._trouble, self._worked_ns = "", time.time_ns()

    async def _deliver(self, record: Shown, known: KnownCard | None) -> Posted | None:
        """Post or update; return None if there is nothing to show any more."""
        broken = glass_broken(record)
        if known is not None and known.posted is not None:
            alarm = broken and not known.told
            if alarm:
                await self._cards.telling(record.id, self.route)
            notice = self._notices.make(
                record, self.route, known.nonce, unsure=known.telling, alarm=alarm
            )
            await self._notices.written()
            return await self._asked(self._channel.update(known.posted, notice))
        if record.finished and not broken and (known is None or not known.tried):
            # It was over before anyone could have been asked, and nobody was passed over.
            if known is not None:
                await self._cards.over(record.id, self.route)
            return None
        # Its content goes to disk beside the record of the card: two files, and one wait.
        self._notices.prepare(record)
        begun = await self._cards.begin(record.id, self.route)
        notice = self._notices.make(
            record, self.route, begun.nonce, unsure=begun.tried, alarm=broken
        )
        await self._notices.written()
        try:
            return await self._asked(self._channel.post(notice))
        except (ChannelBusyError, ChannelError) as error:
            lost = isinstance(error, ChannelBusyError) and error.unsure
            if not lost and not begun.tried:
                await self._cards.rejected(record.id, self.route)
            raise

    async def _asked(self, call: Awaitable[Posted]) -> Posted:
        """Return what the channel says; a fault of its own is a card that it does not take."""
        try:
            return await call
        except CollectorError:
            raise
        except Exception as error:
            log.exception("channel %s failed", self.route)
            raise ChannelError(f"the channel itself failed: {type(error).__name__}") from error

    async def _record(self, record: Shown, posted: Posted) -> None:
        """Keep what was accepted; sent again it would be there twice, so only this is retried."""
        while True:
            try:
                await self._cards.shows(
                    record.id,
                    self.route,
                    posted,
                    version=version_of(record),
                    finished=record.finished,
                    told=glass_broken(record),
                    beside=self._notices.beside(record),
                )
                return
            except StateError as error:
                self._trouble = str(error)
                log.error("channel %s: %s", self.route, error)
                await asyncio.sleep(_DISK_S)

    async def _refuse(self, record: Shown, known: KnownCard | None, why: str) -> None:
        self._trouble = why
        log.error("channel %s refuses request %s: %s", self.route, record.id, why)
        unseen = known is None or known.posted is None
        untold = glass_broken(record) and (known is None or not known.told)
        await self._cards.refused(
            record.id,
            self.route,
            version=version_of(record),
            why=why,
            beside=self._notices.beside(record),
            # A card that hangs there with an old state is tried again at the next start.
            finished=record.finished and unseen,
        )
        if unseen or untold:
            await self._refused(record)

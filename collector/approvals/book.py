"""The register with the trail behind it: finds any request, and tells who listens of changes."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from collector.approvals.known import Known
from collector.approvals.record import Record
from collector.approvals.register import Changed, Outcome, Register
from collector.errors import Refusal
from collector.trail.reader import Reader
from wire.ids import HoldId, RequestId
from wire.messages import HoldOpened

SHORTEST_PREFIX = 6
# How long the trail is waited for at most: it may not be writable at all.
_LATEST_S = 2.0
_FULL = 32
_REMEMBERED = 10_000


class Listener:
    """A bounded queue of changed records. `overrun` is set when it was not emptied in time."""

    def __init__(self, size: int, who: str) -> None:
        # One more place, so that the end always fits in.
        self._queue: asyncio.Queue[Record | None] = asyncio.Queue(size + 1)
        self._size = size
        self.who = who
        self.overrun = asyncio.Event()

    def offer(self, record: Record) -> bool:
        """Queue a record without waiting; return False if the listener is too slow."""
        if self._queue.qsize() >= self._size:
            self.overrun.set()
            return False
        self._queue.put_nowait(record)
        return True

    def end(self) -> None:
        """Wake the listener for the last time."""
        if not self._queue.full():
            self._queue.put_nowait(None)

    async def next(self, timeout_s: float) -> Record | None:
        """Return the next change, None at the end; raise TimeoutError when nothing changed."""
        async with asyncio.timeout(timeout_s):
            return await self._queue.get()


class Book:
    """What the API and the ingest know of requests. Used from one event loop."""

    def __init__(self, register: Register, reader: Reader) -> None:
        self.register = register
        self._reader = reader
        self._known = Known()
        self._listeners: set[Listener] = set()
        self._coming: dict[str, asyncio.Future[None]] = {}
        self._closed = False
        # How long each record was when it was last told of, newest last.
        self._told: OrderedDict[RequestId, int] = OrderedDict()

    async def load(self) -> tuple[Record, ...]:
        """Take up every unfinished request from the trail; return them.

        A collector that was killed may have left answers in the trail whose hold is not there yet:
        it comes again from the stream, and must find them.
        """
        await self._reader.visit_holds(self._known.add)
        early, unfinished = await self._reader.early(), await self._reader.unfinished()
        for message in early:
            self.register.said(message)
        self.register.restore(unfinished)
        return self.register.unfinished()

    def opened(self, message: HoldOpened, heard_ns: int = 0) -> Outcome:
        """Take in a hold, after `need`."""
        outcome = self.register.opened(message, heard_ns)
        if isinstance(outcome, Changed):
            self._known.add(outcome.record.id)
        return outcome

    async def need(self, requests: Iterable[RequestId]) -> None:
        """Bring those requests into memory that the trail has and memory has not."""
        missing = [
            one
            for one in dict.fromkeys(requests)
            if self.register.get(one) is None and self._known.maybe(one)
        ]
        self.register.restore(await self._reader.records(missing))

    async def get(self, request: RequestId) -> Record | None:
        """Return a request from memory or the trail, or None.

        A hold that is folded into another's request is given by itself.
        """
        found = self.register.get(request)
        if found is None:
            return next(iter(await self._reader.records([request])), None)
        shown = self.register.shown(found)
        return shown if shown.id == request else found

    async def denied_beyond(self, name: HoldId) -> dict[HoldId, int]:
        """Return what the trail has of a session at its limit; see `Reader.denied_beyond`."""
        return await self._reader.denied_beyond(name)

    async def glass_broken(self, since_ns: int) -> tuple[RequestId, ...]:
        """Return the requests that somebody let go since then without those who were asked."""
        return await self._reader.glass_broken(since_ns)

    async def many(self, requests: Sequence[RequestId]) -> list[Record]:
        """Return holds, each by itself, in the order asked for, those that exist."""
        missing = [one for one in requests if self.register.get(one) is None]
        loaded = {record.id: record for record in await self._reader.records(missing)}
        found = (self.register.get(one) or loaded.get(one) for one in requests)
        return [record for record in found if record is not None]

    async def resolve(self, text: str) -> Record:
        """Return the one request that an id or a unique prefix names; raise Refusal otherwise.

        The id of any of its holds will do.
        """
        prefix = text.strip().lower()
        if (known := self.register.get(RequestId(prefix))) is not None:
            return self.register.shown(known)
        if len(prefix) < SHORTEST_PREFIX or any(c not in "0123456789abcdef" for c in prefix):
            raise _unknown(text, f"a request id has {_FULL} hexadecimal digits; give 6 or more")
        found = set(self.register.find(prefix)) | set(await self._reader.find(prefix))
        if len(found) > 1:
            raise Refusal(
                409,
                "ambiguous_prefix",
                f"several requests start with {prefix}",
                "give more digits of the id",
                {"matches": sorted(found)[:10]},
            )
        record = await self.get(found.pop()) if found else None
        if record is None:
            raise _unknown(text, "see `holdfast pending` for those that wait")
        return self.whole(record)

    def whole(self, record: Record) -> Record:
        """Return the request that a hold belongs to; a request is returned as it is."""
        return self.register.shown(record) if record.first is None else record

    @contextmanager
    def listen(self, size: int, who: str) -> Iterator[Listener]:
        """Hear of every change for as long as the block lasts; `who` is for `listening`."""
        listener = Listener(size, who)
        self._listeners.add(listener)
        if self._closed:
            listener.end()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    def listening(self, who: str) -> int:
        """How many of them are this one's."""
        return sum(listener.who == who for listener in self._listeners)

    def announce(self, record: Record) -> None:
        """Tell all listeners of the request of a hold, and of others that changed with it.

        One that does not keep up is dropped, so that nobody waits for it.

        Streams are read side by side, so one may come with a record that another has outrun: the
        last word that a listener hears of a request is the newest.
        """
        for one in (record, *self.register.moved()):
            self._tell(self.register.shown(one))

    def _tell(self, record: Record) -> None:
        if record.length <= self._told.get(record.id, -1):
            return
        self._told[record.id] = record.length
        self._told.move_to_end(record.id)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        for listener in tuple(self._listeners):
            if not listener.offer(record):
                self._listeners.discard(listener)

    def close(self) -> None:
        """End all listeners."""
        self._closed = True
        for listener in self._listeners:
            listener.end()

    @contextmanager
    def coming(self, *ids: str) -> Iterator[None]:
        """Have `caught_up` wait for these messages, which are put into their streams within."""
        loop = asyncio.get_running_loop()
        for one in ids:
            self._coming.setdefault(one, loop.create_future())
        try:
            yield
        except BaseException:
            self.stored(ids)
            raise
        loop.call_later(_LATEST_S, self.stored, ids)

    def stored(self, ids: Iterable[str]) -> None:
        """Say that the messages of these ids are committed to the trail."""
        for one in ids:
            future = self._coming.pop(one, None)
            if future is not None:
                future.set_result(None)

    async def caught_up(self) -> None:
        """Return once the trail has what people have said through here, or is too slow for that."""
        if self._coming:
            await asyncio.wait(set(self._coming.values()))


def _unknown(text: str, remedy: str) -> Refusal:
    return Refusal(404, "unknown_request", f"there is no request {text[:64]!r}", remedy)

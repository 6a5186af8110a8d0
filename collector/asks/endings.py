"""Who waits for the end of a request: woken when it comes, from whichever channel."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from collector.approvals.book import Book
from collector.approvals.record import Record, RequestState
from collector.errors import Refusal
from wire.ids import RequestId

_QUEUE = 4096
_QUIET_S = 3600.0


class Endings:
    """One listener of the book for any number of clients that wait. One task: `run`."""

    def __init__(self, book: Book, *, most: int) -> None:
        """`most`: how many may wait at a time."""
        self._book = book
        self._most = most
        self._waiting: dict[RequestId, set[asyncio.Event]] = {}
        self._count = 0
        self._closed = False

    async def run(self) -> None:
        """Wake who waits, until the book is closed; cancel to stop."""
        while not self._closed:
            with self._book.listen(_QUEUE, "asks") as listener:
                self._wake_all()  # what has ended while nobody listened
                while not listener.overrun.is_set():
                    try:
                        record = await listener.next(_QUIET_S)
                    except TimeoutError:
                        continue
                    if record is None:
                        self._closed = True
                        break
                    if record.state is not RequestState.OPEN:
                        self._wake(record.id)
        self._wake_all()

    async def wait(self, record: Record, timeout_s: float) -> Record:
        """Return the request as it stands once it has ended, or after so long; raise Refusal."""
        with self._place(record.id) as ended:
            # It may have ended before there was a place.
            known = self._book.register.get(record.id) or record
            if known.state is not RequestState.OPEN or self._closed:
                return known
            try:
                async with asyncio.timeout(timeout_s):
                    await ended.wait()
            except TimeoutError:
                pass
        return self._book.register.get(record.id) or record

    @contextmanager
    def _place(self, request: RequestId) -> Iterator[asyncio.Event]:
        if self._count >= self._most:
            raise Refusal(
                503, "busy", "too many clients wait for answers already", "ask again soon"
            )
        ended = asyncio.Event()
        self._count += 1
        self._waiting.setdefault(request, set()).add(ended)
        try:
            yield ended
        finally:
            self._count -= 1
            places = self._waiting[request]
            places.discard(ended)
            if not places:
                del self._waiting[request]

    def _wake(self, request: RequestId) -> None:
        for ended in self._waiting.get(request, ()):
            ended.set()

    def _wake_all(self) -> None:
        for request in self._waiting:
            self._wake(request)

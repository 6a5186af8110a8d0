"""Server-sent events of changed requests: bounded per client, and nobody waits for a slow one."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence

from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from collector.approvals.book import Book, Listener
from collector.approvals.record import Record, RequestState

KEEPALIVE_S = 15.0


class EventStream(Response):
    """One client's stream; it ends with the client, its token, the collector, or its slowness."""

    media_type = "text/event-stream"

    def __init__(
        self,
        book: Book,
        *,
        queue: int,
        show: Callable[[Record], str],
        still_valid: Callable[[], Awaitable[bool]],
        who: str,
        admit: Callable[[], None],
        beside: Callable[[Record], Sequence[str]] = lambda _: (),
        keepalive_s: float = KEEPALIVE_S,
    ) -> None:
        """`show` gives one line of JSON, `beside` such lines of what else a request has changed:
        AI sessions at their limit. `still_valid` is asked with every keepalive.

        `admit` raises Refusal if `who` may not listen now; it is asked as the stream begins, so
        that many at once are counted too.
        """
        super().__init__()
        self._book = book
        self._queue = queue
        self._show = show
        self._beside = beside
        self._still_valid = still_valid
        self._who = who
        self._admit = admit
        self._keepalive_s = keepalive_s
        self._ids = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until one of the ends comes."""
        self._admit()
        with self._book.listen(self._queue, self._who) as listener:
            tasks = {
                asyncio.create_task(self._send(listener, send)),
                asyncio.create_task(until_gone(receive)),
                # `_send` may hang in a write to a client that reads nothing: end it from outside.
                asyncio.create_task(listener.overrun.wait()),
            }
            done, running = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            for task in done:
                task.result()

    async def _send(self, listener: Listener, send: Send) -> None:
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def write(text: str) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        for record in reversed(self._book.register.requests()):
            if record.state is RequestState.OPEN:
                await write(self._event("request", self._show(record)))
        every = (line for one in self._book.register.requests() for line in self._beside(one))
        for line in dict.fromkeys(every):
            await write(self._event("session", line))
        await write(self._event("ready", "{}"))
        valid_until = asyncio.get_running_loop().time() + self._keepalive_s
        while True:
            now = asyncio.get_running_loop().time()
            if now >= valid_until:
                if not await self._still_valid():
                    break
                await write(":keepalive\n\n")
                valid_until = now + self._keepalive_s
            try:
                record_or_end = await listener.next(valid_until - now)
            except TimeoutError:
                continue
            if record_or_end is None:
                break
            await write(self._event("request", self._show(record_or_end)))
            for line in self._beside(record_or_end):
                await write(self._event("session", line))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _event(self, name: str, data: str) -> str:
        return f"id: {next(self._ids)}\nevent: {name}\ndata: {data}\n\n"


async def until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""The far side of a channel: a real HTTP server on loopback that fails in the ways a test asks for.

async with receiver() as far:
    far.script("lost", 429, "ok")
    ... post to far.url ...
    first = await far.next()
"""

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

WAIT_S = 30


@dataclass(frozen=True)
class Received:
    """One post that came in whole, and what it was answered."""

    path: str
    headers: dict[str, str]
    body: bytes
    answer: str

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class Receiver:
    """Answers each post by the next word of its script, and with 200 when that is used up.

    ok: 200. A number: that status. "429 5": with `Retry-After: 5`. "lost": taken in whole, and the
    connection closed without an answer. "reset": taken in, and the connection reset. "slow": an
    answer that does not come. "endless": an answer that does not end.
    """

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.url = f"{self.base}/hook"
        self.count = 0
        self._script: deque[str] = deque()
        self._received: asyncio.Queue[Received] = asyncio.Queue()
        self._end = asyncio.Event()

    def script(self, *words: str | int) -> None:
        """Answer the next posts so."""
        self._script.extend(str(word) for word in words)

    async def next(self) -> Received:
        """Return the next post."""
        return await asyncio.wait_for(self._received.get(), WAIT_S)

    async def next_accepted(self) -> Received:
        """Return the next post that was answered with 200."""
        while (found := await self.next()).answer != "ok":
            pass
        return found

    @property
    def waiting(self) -> int:
        """How many posts `next` has not returned yet."""
        return self._received.qsize()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Take in a post, and answer as the script says."""
        body = await request.read()
        word = self._script.popleft() if self._script else "ok"
        self.count += 1
        headers = {name.lower(): value for name, value in request.headers.items()}
        self._received.put_nowait(Received(request.path, headers, body, word))
        if word == "ok":
            return web.Response()
        if word in ("lost", "reset"):
            self._hang_up(request, reset=word == "reset")
            return web.Response()
        if word == "slow":
            await self._end.wait()
            return web.Response()
        if word == "endless":
            return await self._endless(request)
        status, _, wish = word.partition(" ")
        answer = {"Retry-After": wish} if wish else {}
        if status.startswith("3"):
            answer["Location"] = f"{self.base}/elsewhere"
        return web.Response(status=int(status), headers=answer, text=f"it is {status}\x1b[2J")

    def end(self) -> None:
        """Let go of what is slow."""
        self._end.set()

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=500)
        await answer.prepare(request)
        while not self._end.is_set():
            await answer.write(b"x" * 1000)
        return answer

    @staticmethod
    def _hang_up(request: web.Request, *, reset: bool) -> None:
        transport = request.transport
        assert transport is not None
        if reset:
            linger = struct.pack("ii", 1, 0)
            wire = transport.get_extra_info("socket")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()


@asynccontextmanager
async def receiver(port: int = 0) -> AsyncIterator[Receiver]:
    """Give a receiver that listens on a loopback port, any free one unless it is named."""
    listening = socket.create_server(("127.0.0.1", port))
    made = Receiver(listening.getsockname()[1])
    app = web.Application(client_max_size=1 << 20)
    app.router.add_post("/{tail:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=1, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    try:
        yield made
    finally:
        made.end()
        await runner.cleanup()

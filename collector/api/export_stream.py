"""An export on its way to a client: nothing is read ahead of it, and it ends with the client."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from collector.errors import CollectorError
from collector.export.downloads import Download, Downloads

log = logging.getLogger(__name__)

# A client that takes nothing for so long is gone for all that is known of it.
_STALLED_S = 120.0
_PIECE = 1 << 18


class ExportStream(Response):
    """Sends what a download gives. What fails once it has begun cuts the connection off."""

    def __init__(
        self,
        downloads: Downloads,
        open_it: Callable[[], Download],
        *,
        media_type: str,
        name: str,
        stalled_s: float = _STALLED_S,
    ) -> None:
        """`open_it` is called in a thread; it may raise what the client is told as an answer."""
        super().__init__(media_type=media_type)
        self._downloads = downloads
        self._open_it = open_it
        self._name = name
        self._stalled_s = stalled_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until it ends or the client goes."""
        self._downloads.take_room()
        # Of its own: DuckDB's threads do the work, and this one waits for them.
        pool = ThreadPoolExecutor(1, thread_name_prefix="trail-export")
        loop = asyncio.get_running_loop()
        download: Download | None = None
        try:
            download = await loop.run_in_executor(pool, self._open_it)
            parts = download.parts()
            first = await loop.run_in_executor(pool, next, parts, b"")
            sending = asyncio.create_task(self._send(pool, first, parts, send))
            gone = asyncio.create_task(_until_gone(receive))
            done, running = await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            if sending not in done:
                download.cancel()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            for task in done:
                self._tell(task)
        finally:
            if download is not None:
                download.cancel()
                await loop.run_in_executor(pool, self._downloads.end, download)
            pool.shutdown(wait=False)
            self._downloads.leave_room()

    def _tell(self, task: "asyncio.Task[None]") -> None:
        """Log what cut the client off; it sees that the answer is not whole."""
        try:
            task.result()
        except (CollectorError, TimeoutError) as error:
            log.warning("api: export of %s ended early: %s", self._name, error or "client stalled")

    async def _send(
        self, pool: ThreadPoolExecutor, first: bytes, parts: Iterator[bytes], send: Send
    ) -> None:
        headers = [
            (b"content-type", str(self.media_type).encode()),
            (b"content-disposition", f'attachment; filename="{self._name}"'.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        loop = asyncio.get_running_loop()
        part: bytes | None = first
        while part is not None:
            for start in range(0, len(part), _PIECE):
                piece = part[start : start + _PIECE]
                async with asyncio.timeout(self._stalled_s):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            part = await loop.run_in_executor(pool, next, parts, None)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""Networks between agent and NATS that a test cuts and slows: a namespace of ours, and a relay."""

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_HERE, _THERE = "198.51.100.1", "198.51.100.2"  # for documentation only, so nobody's network
_DEVICE = "holdfast-test-f"
_PIECE = 4096


@dataclass
class CutOffNetwork:
    """A network namespace whose one way out leads to NATS. `url` is NATS as seen from within."""

    name: str
    url: str

    def cut(self) -> None:
        """Swallow every packet from now on, both ways; connections hang and are not told."""
        _ip("link", "set", _DEVICE, "down")

    def mend(self) -> None:
        """Let packets through again."""
        _ip("link", "set", _DEVICE, "up")


@contextmanager
def cut_off_network(name: str, port: int) -> Iterator[CutOffNetwork]:
    """Make a network namespace that reaches a loopback port of this host through a relay."""
    _remove(name)  # of a run that was cut off
    _ip("netns", "add", name)
    try:
        _ip("link", "add", _DEVICE, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("address", "add", f"{_HERE}/30", "dev", _DEVICE)
        _ip("link", "set", _DEVICE, "up")
        _ip("-n", name, "address", "add", f"{_THERE}/30", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        with slow_line(port, listen=_HERE) as line:
            yield CutOffNetwork(name, line.url)
    finally:
        _remove(name)


class SlowLine:
    """A relay on this host. `bytes_per_s` is for what goes to the server; None for no limit."""

    def __init__(self, port: int, listen: str) -> None:
        self.bytes_per_s: int | None = None
        self.url = ""
        self._port, self._listen = port, listen
        self._loop = asyncio.new_event_loop()
        self._up, self._end = threading.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._up.wait()

    def close(self) -> None:
        """End it and its connections."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, self._listen, 0, limit=_PIECE)
        self.url = f"nats://{self._listen}:{server.sockets[0].getsockname()[1]}"
        self._up.set()
        await self._end.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._port)
            up = asyncio.ensure_future(self._pump(reader, to_writer, slowly=True))
            down = asyncio.ensure_future(self._pump(to_reader, writer, slowly=False))
            self._tasks |= {up, down}
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            for task in (up, down):
                task.cancel()
            to_writer.close()
        writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slowly: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_PIECE):
                writer.write(data)
                await writer.drain()
                if slowly and self.bytes_per_s:
                    await asyncio.sleep(len(data) / self.bytes_per_s)


@contextmanager
def slow_line(port: int, *, listen: str = "127.0.0.1") -> Iterator[SlowLine]:
    """Relay a new port to a loopback port of this host."""
    line = SlowLine(port, listen)
    try:
        yield line
    finally:
        line.close()


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


def _remove(name: str) -> None:
    for words in (("link", "delete", _DEVICE), ("netns", "delete", name)):
        subprocess.run(["ip", *words], capture_output=True, check=False)

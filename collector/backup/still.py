"""Lets a backup copy the trail of a running collector: the writer waits while it does.

The copy is made by the command itself. Were it made here, closing the copied file would give up
DuckDB's lock on it, as the kernel has it for each process.
"""

import asyncio
import json
import logging
import os
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path

from collector.errors import StateError, TrailError
from collector.trail.writer import Writer

log = logging.getLogger(__name__)

# Nothing that is held waits for the writer, but what is decided is not in the trail meanwhile.
LONGEST_S = 60.0
_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid


class Stillness:
    """Serves one backup after the other, to the collector's own user and root."""

    def __init__(self, writer: Writer, place: Path, *, longest_s: float = LONGEST_S) -> None:
        self._writer = writer
        self._place = place
        self._longest_s = longest_s
        self._one = asyncio.Lock()
        self._serving: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve for ever."""
        server = await asyncio.start_unix_server(self._serve, sock=listen(self._place))
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            self._place.unlink(missing_ok=True)
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._answer(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            try:
                if _is_own(writer.get_extra_info("socket")):
                    async with self._one:
                        await self._hold(reader, writer)
            finally:
                writer.close()

    async def _hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hold the writer from the answer `still` on until the other side says a word or goes."""
        loop = asyncio.get_running_loop()
        reached, released = asyncio.Event(), threading.Event()
        whole = True

        def between() -> None:
            nonlocal whole
            loop.call_soon_threadsafe(reached.set)
            whole = released.wait(self._longest_s)

        done = asyncio.wrap_future(self._writer.hold_still(between))
        # What cannot be written is never reached.
        done.add_done_callback(lambda _: reached.set())
        try:
            await reached.wait()
            if not done.done():
                writer.write(b'{"still": true}\n')
                await writer.drain()
                await reader.readline()
        finally:
            released.set()
        try:
            await done
        except TrailError as error:
            log.error("backup: the writer cannot be held: %s", error)
            return
        if not whole:
            log.error("backup: not copied in %g s; the trail is written again", self._longest_s)
        writer.write(json.dumps({"whole": whole}).encode() + b"\n")
        await writer.drain()


def place_of(trail_file: Path) -> Path:
    """Return the path of the socket of a trail."""
    return trail_file.with_name("backup.sock")


def listen(place: Path) -> socket.socket:
    """Return a socket that listens there, in place of one that a killed collector left."""
    # The trail's lock makes this process the only one that may.
    place.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    directory = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    old = os.umask(0o077)
    try:
        # A path may be longer than a socket's name can be.
        listener.bind(f"/proc/self/fd/{directory}/{place.name}")
    except OSError as error:
        listener.close()
        raise StateError(f"{place}: cannot be made: {error}") from error
    finally:
        os.umask(old)
        os.close(directory)
    return listener


def call(place: Path) -> socket.socket | None:
    """Return a connection to the collector that runs there; None if there is none."""
    try:
        directory = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(f"/proc/self/fd/{directory}/{place.name}")
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise StateError(
            f"{place}: cannot be reached ({error}); run this as the collector's own user"
        ) from error
    finally:
        os.close(directory)
    return connection


def _is_own(connection: socket.socket) -> bool:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(raw)[1] in (0, os.getuid())

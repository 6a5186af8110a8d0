"""multiprocessing, concurrent.futures and asyncio: workers, and what they hand back."""

import asyncio
import concurrent.futures
import multiprocessing
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

from tests.transparency.programs.said import say, tried


def work(number: int) -> int:
    """Write a file of its own and return its length; each is an act."""
    path = Path(f"work-{number}")
    path.write_text("x" * number)
    return path.stat().st_size


def ends(code: int) -> None:
    """End at once."""
    os._exit(code)


def pools() -> None:
    """Have pools of each kind do the same."""
    for method in ("fork", "spawn"):
        context: Any = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            tried(f"pool by {method}", partial(pool.map, work, range(4)))
        process = context.Process(target=ends, args=(3,))
        process.start()
        process.join()
        say(f"process by {method}", process.exitcode)
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        tried("threads", lambda: list(threads.map(work, range(10, 16))))


async def reach(path: str) -> str:
    """Talk to a server on a socket in the file system."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, path)
    try:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"hello\n")
        said = await reader.readline()
        writer.close()
        return said.decode().strip()
    finally:
        server.close()


async def reach_port() -> str:
    """Talk to a server on a port of this host."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"over a port\n")
        said = await reader.readline()
        writer.close()
        return said.decode().strip()
    finally:
        server.close()


async def commands() -> list[object]:
    """Run commands, several at once."""

    async def one(number: int) -> object:
        child = await asyncio.create_subprocess_exec(
            "sh", "-c", f"echo {number}; exit {number}", stdout=asyncio.subprocess.PIPE
        )
        out, _ = await child.communicate()
        return (out.decode().strip(), child.returncode)

    return list(await asyncio.gather(*map(one, range(4))))


async def by_signal() -> str:
    """Have the loop take a signal while a thread acts."""
    loop = asyncio.get_running_loop()
    got = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, got.set)
    loop.call_later(0.3, os.kill, os.getpid(), signal.SIGUSR1)
    found = await asyncio.gather(asyncio.to_thread(work, 20), asyncio.wait_for(got.wait(), 60))
    return str(found)


async def in_time() -> str:
    """Let timers ring in their order while a thread acts."""
    loop = asyncio.get_running_loop()
    order: list[str] = []
    for name, delay in (("second", 0.4), ("first", 0.2), ("third", 0.6)):
        loop.call_later(delay, order.append, name)
    await asyncio.gather(asyncio.to_thread(work, 21), asyncio.sleep(0.8))
    return " ".join(order)


if __name__ == "__main__":
    pools()
    tried("asyncio, a socket", lambda: asyncio.run(reach("socket")))
    tried("asyncio, a port", lambda: asyncio.run(reach_port()))
    tried("asyncio, commands", lambda: asyncio.run(commands()))
    tried("asyncio, a signal", lambda: asyncio.run(by_signal()))
    tried("asyncio, timers", lambda: asyncio.run(in_time()))
    sys.stdout.flush()

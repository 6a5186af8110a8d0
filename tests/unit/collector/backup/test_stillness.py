"""The writer holds still for a backup, and never for longer than it may."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from collector.backup.snapshot import snapshot
from collector.backup.still import Stillness, call, place_of
from collector.config import Trail
from collector.errors import BackupError
from collector.trail import schema
from collector.trail.store import open_trail
from collector.trail.writer import Writer
from tests.support.proven_trail import row


@asynccontextmanager
async def _running(file: Path, *, longest_s: float = 60) -> AsyncIterator[Writer]:
    connection = open_trail(Trail(file=str(file)))
    writer = Writer(connection, on_fatal=lambda _: None)
    task = asyncio.create_task(Stillness(writer, place_of(file), longest_s=longest_s).run())
    await asyncio.sleep(0)
    try:
        yield writer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.to_thread(writer.close)
        connection.close()


def _held(file: Path) -> socket.socket:
    connection = call(place_of(file))
    assert connection is not None
    assert connection.recv(100) == b'{"still": true}\n'
    return connection


def _bytes(file: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(file.parent.glob("trail.duckdb*"))]


async def test_what_is_written_meanwhile_comes_after(tmp_path: Path) -> None:
    """Not a byte of the file changes while it is held, and nothing that waits is lost."""
    file = tmp_path / "trail.duckdb"
    async with _running(file) as writer:
        with await asyncio.to_thread(_held, file) as connection:
            before = _bytes(file)
            waiting = asyncio.create_task(writer.write(rows=[row(schema.VOTES, 1)]))
            await asyncio.wait({waiting}, timeout=0.3)
            assert not waiting.done()
            assert _bytes(file) == before
            connection.sendall(b"done\n")
            assert await asyncio.to_thread(connection.recv, 100) == b'{"whole": true}\n'
        await waiting


async def test_who_dies_lets_go_and_who_hangs_is_told(tmp_path: Path) -> None:
    """The trail is written again, and the answer says that the copy is not whole."""
    file = tmp_path / "trail.duckdb"
    async with _running(file, longest_s=0.2) as writer:
        (await asyncio.to_thread(_held, file)).close()
        await writer.write(rows=[row(schema.VOTES, 1)])
        with await asyncio.to_thread(_held, file) as connection:
            await writer.write(rows=[row(schema.VOTES, 2)])
            connection.sendall(b"done\n")
            assert await asyncio.to_thread(connection.recv, 100) == b'{"whole": false}\n'


async def test_a_snapshot_has_what_was_written_and_leaves_nothing(tmp_path: Path) -> None:
    """The same with a collector and without one; a second backup at once is refused."""
    file = tmp_path / ("a-long-name-" * 12) / "trail.duckdb"
    file.parent.mkdir()

    def take() -> int:
        with snapshot(file) as taken:
            with pytest.raises(BackupError, match="another backup"), snapshot(file):
                pass
            connection = open_trail(Trail(file=str(taken.directory / "trail.duckdb")))
            count = connection.execute("SELECT count(*) FROM votes").fetchone()
            connection.close()
        assert not taken.directory.exists()
        assert count is not None
        return int(count[0])

    async with _running(file) as writer:
        await writer.write(rows=[row(schema.VOTES, 1)])
        assert await asyncio.to_thread(take) == 1
        await writer.write(rows=[row(schema.VOTES, 2)])
    assert await asyncio.to_thread(take) == 2

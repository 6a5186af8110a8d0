"""A SQLite file of the collector's own: private, synced at each commit, with a thread of its own.

So a slow disk never holds up the event loop.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from collector.errors import StateError

_T = TypeVar("_T")


def open_private(path: Path) -> sqlite3.Connection:
    """Open a file that only the collector's user may read, made if need be; usable in any thread.

    Raises sqlite3.Error or OSError.
    """
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    return sqlite3.connect(path, check_same_thread=False, isolation_level=None)


class StateFile:
    """One open file. Every method raises StateError, which names it and the remedy."""

    def __init__(
        self, path: Path, *, version: int, script: Callable[[int], str], moved_away: str
    ) -> None:
        """`script` is the SQL that brings a file of an earlier version (0: new) to `version`.

        `moved_away` says what comes of moving the file away.
        """
        self._path = path
        self._moved_away = moved_away
        self._closed = False
        self._thread = ThreadPoolExecutor(1, path.stem)
        with self._errors():
            self.connection = open_private(path)
            try:
                self._migrate(version, script)
            except BaseException:
                self.connection.close()
                raise

    async def close(self) -> None:
        """Let go of the file, after what is under way; a second time does nothing."""
        if not self._closed:
            self._closed = True
            await self.do(self.connection.close)
            self._thread.shutdown()

    async def do(self, work: Callable[[], _T]) -> _T:
        """Return what `work` does with the connection, in the file's thread."""
        with self._errors():
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def write(self, work: Callable[[], _T]) -> _T:
        """Do as `do` does, in one transaction; return once the disk has it."""

        def transaction() -> _T:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                found = work()
                self.connection.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled back already.
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise
            return found

        return await self.do(transaction)

    def _migrate(self, version: int, script: Callable[[int], str]) -> None:
        self.connection.execute("PRAGMA journal_mode = WAL")
        # Without FULL, a write-ahead log is not synced at commit.
        self.connection.execute("PRAGMA synchronous = FULL")
        (there,) = self.connection.execute("PRAGMA user_version").fetchone()
        if there > version:
            raise StateError(
                f"{self._path}: written by a newer collector (schema {there}, this one knows "
                f"{version}); upgrade this collector"
            )
        if there < version:
            self.connection.executescript(
                f"BEGIN; {script(there)} PRAGMA user_version = {version}; COMMIT;"
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StateError(
                f"{self._path}: cannot be used ({error}); make room on its disk and run as the "
                f"collector's user, or move the file away: {self._moved_away}"
            ) from error

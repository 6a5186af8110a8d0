"""The newest cards that were shown, on disk: one SQLite file, so that a restart forgets none.

A card that a vote names is in the trail; this file is for those that nobody has answered yet.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from collector.errors import StateError

FILE = "shown.sqlite3"

_VERSION = 1
_SCHEMA = """
CREATE TABLE shown (
    number INTEGER PRIMARY KEY,
    request TEXT NOT NULL,
    card TEXT NOT NULL,     -- digest of the content
    content TEXT NOT NULL,
    UNIQUE (request, card)
) STRICT;
"""
_KEPT = 20_000

_T = TypeVar("_T")


class ShownFile:
    """Contents of cards by request and digest. Every method raises StateError if it cannot work."""

    def __init__(self, path: Path, *, keep: int = _KEPT) -> None:
        """Open or make the file, which keeps the newest `keep` cards."""
        self._path = path
        self._keep = keep
        self._closed = False
        self._thread = ThreadPoolExecutor(1, "shown")
        with self._errors():
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            try:
                self._migrate()
            except BaseException:
                self._connection.close()
                raise

    async def close(self) -> None:
        """Let go of the file, after what is under way; a second time does nothing."""
        if not self._closed:
            self._closed = True
            await self._do(self._connection.close)
            self._thread.shutdown()

    async def add(self, cards: Sequence[tuple[str, str, str]]) -> None:
        """Keep (request, digest, content) of cards; return once the disk has them."""

        def work() -> None:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(
                    "INSERT INTO shown (request, card, content) VALUES (?, ?, ?)"
                    " ON CONFLICT DO NOTHING",
                    cards,
                )
                self._connection.execute(
                    "DELETE FROM shown WHERE number <= (SELECT max(number) FROM shown) - ?",
                    (self._keep,),
                )
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

        await self._do(work)

    async def content(self, request: str, digest: str) -> str | None:
        """Return the content of a card that was shown of this request, or None."""
        sql = "SELECT content FROM shown WHERE request = ? AND card = ?"
        row = await self._do(lambda: self._connection.execute(sql, (request, digest)).fetchone())
        return None if row is None else str(row[0])

    async def _do(self, work: Callable[[], _T]) -> _T:
        with self._errors():
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _migrate(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        # Without FULL, a write-ahead log is not synced at commit.
        self._connection.execute("PRAGMA synchronous = FULL")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise StateError(
                f"{self._path}: written by a newer collector (schema {version}, this one knows "
                f"{_VERSION}); upgrade this collector"
            )
        if version == 0:
            self._connection.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;"
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StateError(
                f"{self._path}: cannot be used ({error}); make room on its disk and run as the "
                "collector's user, or move the file away: who has an older card before them is "
                "then asked to look again"
            ) from error

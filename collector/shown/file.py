"""The newest cards that were shown, on disk: one SQLite file, so that a restart forgets none.

A card that a vote names is in the trail; this file is for those that nobody has answered yet.
"""

from collections.abc import Sequence
from pathlib import Path

from collector.state_file import StateFile

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


class ShownFile:
    """Contents of cards by request and digest. Every method raises StateError if it cannot work."""

    def __init__(self, path: Path, *, keep: int = _KEPT) -> None:
        """Open or make the file, which keeps the newest `keep` cards."""
        self._keep = keep
        self._file = StateFile(
            path,
            version=_VERSION,
            script=lambda _: _SCHEMA,
            moved_away="who has an older card before them is then asked to look again",
        )
        self._connection = self._file.connection

    async def close(self) -> None:
        """Let go of the file, after what is under way; a second time does nothing."""
        await self._file.close()

    async def add(self, cards: Sequence[tuple[str, str, str]]) -> None:
        """Keep (request, digest, content) of cards; return once the disk has them."""

        def work() -> None:
            self._connection.executemany(
                "INSERT INTO shown (request, card, content) VALUES (?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                cards,
            )
            self._connection.execute(
                "DELETE FROM shown WHERE number <= (SELECT max(number) FROM shown) - ?",
                (self._keep,),
            )

        await self._file.write(work)

    async def content(self, request: str, digest: str) -> str | None:
        """Return the content of a card that was shown of this request, or None."""
        sql = "SELECT content FROM shown WHERE request = ? AND card = ?"
        row = await self._file.do(
            lambda: self._connection.execute(sql, (request, digest)).fetchone()
        )
        return None if row is None else str(row[0])

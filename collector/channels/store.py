"""Which card was posted where, and what it last showed: one SQLite file, synced at each commit."""

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from collector.channels.interface import Posted, Route
from collector.state_file import StateFile
from wire.ids import RequestId

# A click on a card that is older than this is answered as on a card that never was.
KEEP_NS = 30 * 86_400 * 10**9

_VERSION = 2
_SCHEMA = """
CREATE TABLE card (
    request TEXT NOT NULL,
    channel TEXT NOT NULL,
    place TEXT NOT NULL,
    nonce TEXT NOT NULL UNIQUE,
    reference TEXT,                      -- NULL until the channel has accepted the card
    tried INTEGER NOT NULL DEFAULT 0,    -- 1: it may have been accepted, and nobody knows
    shown INTEGER NOT NULL DEFAULT 0,    -- version that the card shows
    failed INTEGER NOT NULL DEFAULT 0,   -- version that the channel has refused for good
    why TEXT NOT NULL DEFAULT '',        -- its words for that
    finished INTEGER NOT NULL DEFAULT 0, -- 1: nothing more will be shown
    changed_ns INTEGER NOT NULL,
    told INTEGER NOT NULL DEFAULT 0,     -- 1: its alarm may have been accepted; 2: it was
    beside TEXT NOT NULL DEFAULT '',     -- what was shown beside the card
    PRIMARY KEY (request, channel, place)
) STRICT;
CREATE INDEX unfinished ON card (finished) WHERE finished = 0;
CREATE INDEX posted ON card (reference) WHERE reference IS NOT NULL;
CREATE INDEX refused ON card (changed_ns) WHERE failed > 0;
"""
# What a file of version 1 has not.
_NEW = (
    "ALTER TABLE card ADD COLUMN told INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE card ADD COLUMN beside TEXT NOT NULL DEFAULT '';"
)
_SELECT = (
    "SELECT request, channel, place, nonce, reference, tried, shown, failed, why, finished, told,"
    " beside"
    " FROM card"
)
_UPDATE = "UPDATE card SET "
_WHERE = " WHERE request = ? AND channel = ? AND place = ?"
_Row = tuple[str, str, str, str, str | None, int, int, int, str, int, int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCard:
    """What is recorded of one card. `posted` is None until the channel has accepted it.

    `told`: people there have been alarmed; `telling`: they may have been, and nobody knows.
    """

    request: RequestId
    route: Route
    nonce: str
    posted: Posted | None
    tried: bool
    shown: int
    failed: int
    why: str
    finished: bool
    told: bool
    telling: bool
    beside: str


class Cards:
    """The record of cards. Every method raises StateError if the file cannot be used."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; raise StateError naming it and the remedy."""
        self._file = StateFile(
            path,
            version=_VERSION,
            script=lambda there: _SCHEMA if there == 0 else _NEW,
            moved_away="requests that wait are then posted anew",
        )
        self._connection = self._file.connection

    async def close(self) -> None:
        """Let go of the file, after what is under way; a second time does nothing."""
        await self._file.close()

    async def get(self, request: RequestId, route: Route) -> KnownCard | None:
        """Return one card, or None."""
        found = await self._select(_WHERE, request, route.channel, route.to)
        return found[0] if found else None

    async def of(self, request: RequestId) -> list[KnownCard]:
        """Return the cards of one request, oldest first."""
        return await self._select(" WHERE request = ? ORDER BY rowid", request)

    async def open(self) -> list[KnownCard]:
        """Return every card that does not show the end of its request."""
        return await self._select(" WHERE finished = 0 ORDER BY rowid")

    async def failures(self, limit: int) -> list[KnownCard]:
        """Return the cards that a channel has refused, newest first."""
        return await self._select(" WHERE failed > 0 ORDER BY changed_ns DESC LIMIT ?", limit)

    async def belongs(self, request: RequestId, nonce: str, channel: str) -> bool:
        """Say whether a channel was given this nonce for this very request."""
        where = " WHERE nonce = ? AND request = ? AND channel = ?"
        return bool(await self._select(where, nonce, request, channel))

    async def of_nonce(self, nonce: str, channel: str) -> KnownCard | None:
        """Return the card that a channel was given this nonce for, or None."""
        found = await self._select(" WHERE nonce = ? AND channel = ?", nonce, channel)
        return found[0] if found else None

    async def showing(self, channel: str, reference: str) -> KnownCard | None:
        """Return the card that a channel finds under this reference, or None."""
        found = await self._select(" WHERE reference = ? AND channel = ?", reference, channel)
        return found[0] if found else None

    async def begin(self, request: RequestId, route: Route) -> KnownCard:
        """Record that a card is about to be posted; return it as it was before.

        `tried` of what is returned says whether an earlier attempt may have been accepted.
        """
        key = (request, route.channel, route.to)

        def work() -> list[_Row]:
            self._connection.execute(
                "INSERT INTO card (request, channel, place, nonce, changed_ns)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (*key, secrets.token_urlsafe(18), time.time_ns()),
            )
            rows = self._connection.execute(_SELECT + _WHERE, key).fetchall()
            self._connection.execute(_UPDATE + "tried = 1" + _WHERE, key)
            return rows

        return _card((await self._file.write(work))[0])

    async def rejected(self, request: RequestId, route: Route) -> None:
        """Record that the attempt which was begun was certainly not accepted."""
        await self._set(request, route, "tried = 0")

    async def telling(self, request: RequestId, route: Route) -> None:
        """Record that people are about to be alarmed of what a card shows."""
        await self._set(request, route, "told = max(told, 1)")

    async def shows(
        self,
        request: RequestId,
        route: Route,
        posted: Posted,
        *,
        version: int,
        finished: bool,
        told: bool = False,
        beside: str = "",
    ) -> None:
        """Record that the channel has accepted what the card shows now; `told` once it alarmed."""
        values = (
            "reference = ?, tried = 0, shown = ?, failed = 0, why = '', finished = ?, beside = ?"
        )
        if told:
            values += ", told = 2"
        await self._set(request, route, values, posted.reference, version, int(finished), beside)

    async def refused(
        self,
        request: RequestId,
        route: Route,
        *,
        version: int,
        why: str,
        finished: bool,
        beside: str = "",
    ) -> None:
        """Record that the channel will not take this version."""
        values = "failed = ?, why = ?, finished = ?, beside = ?"
        await self._set(request, route, values, version, why, int(finished), beside)

    async def over(self, request: RequestId, route: Route) -> None:
        """Record that a card which was never posted need not be any more."""
        await self._set(request, route, "finished = 1")

    async def start(self) -> None:
        """Forget what is old, and give what was refused another chance."""
        oldest = time.time_ns() - KEEP_NS

        def work() -> None:
            self._connection.execute("DELETE FROM card WHERE changed_ns < ?", (oldest,))
            self._connection.execute("UPDATE card SET failed = 0 WHERE finished = 0")

        await self._file.write(work)

    async def _set(self, request: RequestId, route: Route, values: str, *given: object) -> None:
        sql = _UPDATE + values + ", changed_ns = ?" + _WHERE
        filled = (*given, time.time_ns(), request, route.channel, route.to)
        await self._file.write(lambda: self._connection.execute(sql, filled))

    async def _select(self, where: str, *given: object) -> list[KnownCard]:
        rows = await self._file.do(
            lambda: self._connection.execute(_SELECT + where, given).fetchall()
        )
        return [_card(row) for row in rows]


def _card(row: _Row) -> KnownCard:
    request, channel, place, nonce, reference, tried, shown, failed, why, finished, told, beside = (
        row
    )
    return KnownCard(
        request=RequestId(request),
        route=Route(channel, place),
        nonce=nonce,
        posted=None if reference is None else Posted(reference),
        tried=bool(tried),
        shown=shown,
        failed=failed,
        why=why,
        finished=bool(finished),
        told=told == 2,
        telling=told == 1,
        beside=beside,
    )

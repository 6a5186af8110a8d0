"""How far each continuous export has come: one SQLite file, synced at each commit.

Before anything is sent, what it is and under which id and numbers is on disk; only when it has been
taken is the place moved. So what is sent again after a death is the same, under the same id.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collector.errors import StateError
from collector.state_file import open_private
from wire.ids import new_id

_VERSION = 1
_SCHEMA = """
CREATE TABLE export (
    name TEXT PRIMARY KEY,
    number INTEGER NOT NULL,     -- of the last record that was given one
    sending TEXT                 -- what is on its way, JSON; NULL: nothing
) STRICT;
CREATE TABLE taken (             -- events by host: from the first number to the last
    name TEXT NOT NULL, host TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (name, host, first)
) STRICT;
CREATE TABLE seen (              -- other tables: what was received up to then has been taken,
    name TEXT NOT NULL, source TEXT NOT NULL, received_ns INTEGER NOT NULL,
    PRIMARY KEY (name, source)
) STRICT;
CREATE TABLE recent (            -- and of the time just before, exactly these
    name TEXT NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL, received_ns INTEGER NOT NULL,
    PRIMARY KEY (name, source, id)
) STRICT;
"""
# Rows may be committed in another order than they were received in, and clocks step back.
SLACK_NS = 15 * 60 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """Records that go together: events of one host by number, or of other tables by id.

    `number` is that of the first one, `delivery` the id of the whole; both stay when it is
    sent again.
    """

    delivery: str
    number: int
    source: str
    count: int
    host: str = ""
    first: int = 0
    last: int = 0
    ids: Mapping[str, int] = field(default_factory=dict)  # with when each was received


class Positions:
    """The places of all exports. Every method is for one thread; raises StateError."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; raise StateError naming it and the remedy."""
        self._path = path
        with self._errors():
            self._connection = open_private(path)
            try:
                self._open()
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def known(self, name: str) -> bool:
        """Say whether this export has ever begun."""
        return bool(self._rows("SELECT 1 FROM export WHERE name = ?", name))

    def begin(
        self, name: str, taken: Mapping[str, int], seen: Mapping[str, tuple[int, Mapping[str, int]]]
    ) -> None:
        """Have an export begin behind these events of each host, and these records of tables."""
        with self._transaction():
            self._do("INSERT INTO export (name, number) VALUES (?, 0)", name)
            for host, last in taken.items():
                self._take(name, host, 1, last)
            for source, (received_ns, ids) in seen.items():
                self._see(name, source, received_ns, ids)

    def taken(self, name: str) -> dict[str, list[tuple[int, int]]]:
        """Return which events have been taken, by host."""
        found: dict[str, list[tuple[int, int]]] = {}
        rows = self._rows(
            "SELECT host, first, last FROM taken WHERE name = ? ORDER BY host, first", name
        )
        for host, first, last in rows:
            found.setdefault(host, []).append((first, last))
        return found

    def seen(self, name: str, source: str) -> tuple[int, frozenset[str]]:
        """Return up to when a table has been taken, and the ids of the time just before."""
        rows = self._rows(
            "SELECT received_ns FROM seen WHERE name = ? AND source = ?", name, source
        )
        ids = self._rows("SELECT id FROM recent WHERE name = ? AND source = ?", name, source)
        return (rows[0][0] if rows else 0), frozenset(row[0] for row in ids)

    def sending(self, name: str) -> Sending | None:
        """Return what was on its way when this was last written."""
        rows = self._rows("SELECT sending FROM export WHERE name = ?", name)
        return Sending(**json.loads(rows[0][0])) if rows and rows[0][0] else None

    def plan(self, name: str, source: str, count: int, **what: Any) -> Sending:
        """Keep what is about to be sent, and return it with its id and numbers."""
        with self._transaction():
            rows = self._rows("SELECT number FROM export WHERE name = ?", name)
            made = Sending(
                delivery=new_id(), number=rows[0][0] + 1, source=source, count=count, **what
            )
            facts = {one: getattr(made, one) for one in Sending.__dataclass_fields__}
            self._do("UPDATE export SET sending = ? WHERE name = ?", json.dumps(facts), name)
        return made

    def drop(self, name: str) -> None:
        """Forget what was about to be sent: none of it was taken, and it will be cut otherwise."""
        with self._transaction():
            self._do("UPDATE export SET sending = NULL WHERE name = ?", name)

    def done(self, name: str, sent: Sending) -> None:
        """Move the place behind what has been taken."""
        with self._transaction():
            self._do(
                "UPDATE export SET sending = NULL, number = ? WHERE name = ?",
                sent.number + sent.count - 1,
                name,
            )
            if sent.host:
                self._take(name, sent.host, sent.first, sent.last)
            else:
                newest = max(sent.ids.values(), default=0)
                self._see(name, sent.source, newest, sent.ids)

    def number(self, name: str) -> int:
        """Return how many records have been taken since the export first began."""
        rows = self._rows("SELECT number FROM export WHERE name = ?", name)
        return int(rows[0][0]) if rows else 0

    def _take(self, name: str, host: str, first: int, last: int) -> None:
        """Add numbers to those that are taken, joined with their neighbours."""
        if last < first:
            return
        rows = self._rows(
            "SELECT min(first), max(last) FROM taken"
            " WHERE name = ? AND host = ? AND first <= ? AND last >= ?",
            *(name, host, last + 1, first - 1),
        )
        low, high = rows[0]
        if low is not None:
            first, last = min(first, low), max(last, high)
            self._do(
                "DELETE FROM taken WHERE name = ? AND host = ? AND first >= ? AND last <= ?",
                *(name, host, first, last),
            )
        self._do("INSERT INTO taken VALUES (?, ?, ?, ?)", name, host, first, last)

    def _see(self, name: str, source: str, received_ns: int, ids: Mapping[str, int]) -> None:
        self._do(
            "INSERT INTO seen VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
            " SET received_ns = max(received_ns, excluded.received_ns)",
            *(name, source, received_ns),
        )
        for record, at_ns in ids.items():
            self._do(
                "INSERT OR IGNORE INTO recent VALUES (?, ?, ?, ?)", name, source, record, at_ns
            )
        self._do(
            "DELETE FROM recent WHERE name = ?1 AND source = ?2 AND received_ns <"
            " (SELECT received_ns FROM seen WHERE name = ?1 AND source = ?2) - ?3",
            *(name, source, SLACK_NS),
        )

    def _open(self) -> None:
        self._do("PRAGMA journal_mode = DELETE")
        self._do("PRAGMA synchronous = FULL")
        version = self._rows("PRAGMA user_version")[0][0]
        if version == 0:
            with self._transaction():
                for statement in _SCHEMA.split(";\n"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {_VERSION}")
        elif version != _VERSION:
            raise StateError(
                f"{self._path}: written by another version of the collector; upgrade this one"
            )

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        with self._errors():
            return self._connection.execute(sql, values).fetchall()

    def _do(self, sql: str, *values: Any) -> None:
        with self._errors():
            self._connection.execute(sql, values)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._do("BEGIN IMMEDIATE")
        try:
            yield
            self._do("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StateError(
                f"{self._path}: the places of exports cannot be used: {error}; if the file is "
                "damaged, move it away, and exports begin anew"
            ) from error


def uncovered(
    batches: Sequence[tuple[str, int, int]], taken: Mapping[str, list[tuple[int, int]]]
) -> list[tuple[str, int, int]]:
    """Return what of these (host, first, last) has not been taken, in their order."""
    found: list[tuple[str, int, int]] = []
    for host, first, last in batches:
        start = first
        for low, high in taken.get(host, ()):
            if high < start or low > last:
                continue
            if low > start:
                found.append((host, start, low - 1))
            start = high + 1
        if start <= last:
            found.append((host, start, last))
    return found

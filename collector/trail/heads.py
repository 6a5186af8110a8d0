"""What is kept of each host's chain: the newest batch in memory, the older ones looked up.

Asked only by the writer's thread, inside its transaction; forgotten when that is rolled back.
"""

from dataclasses import dataclass

import duckdb

from collector.trail.chain import Break, Link, judge
from collector.trail.event_rows import EventRows
from wire.ids import HostId


@dataclass(slots=True)
class _Head:
    link: Link | None
    highest: int


class Heads:
    """Judges batches one after the other; those of this transaction count as kept."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._heads: dict[HostId, _Head] = {}
        self._fresh: dict[tuple[HostId, int], list[Link]] = {}

    def begin(self) -> None:
        """Start a transaction: what was kept in the one before is in the file now."""
        self._fresh.clear()

    def forget(self) -> None:
        """The transaction was undone: read everything from the file again."""
        self._fresh.clear()
        self._heads.clear()

    def take(self, batch: EventRows) -> tuple[Break, ...] | None:
        """Return what is wrong with a batch, and count it as kept; None for a redelivery."""
        same = self._kept(batch.host, batch.sequence)
        if any(link.chain == batch.chain for link in same):
            return None
        head = self._head(batch.host)
        follows = head.link is not None and batch.sequence == head.link.sequence + 1
        before = [] if follows else self._kept(batch.host, batch.sequence - 1)
        found = judge(
            head.link,
            sequence=batch.sequence,
            first=batch.first,
            previous=batch.previous,
            known=bool(same),
            before=before[-1] if before else None,
        )
        link = Link(batch.sequence, batch.chain, batch.first + batch.count)
        self._fresh.setdefault((batch.host, batch.sequence), []).append(link)
        head.highest = max(head.highest, batch.sequence)
        if not any(one.kind == "late" for one in found):
            head.link = link
        return (*batch.odd, *found)

    def _head(self, host: HostId) -> _Head:
        if host not in self._heads:
            # A batch that came late is not the newest, though it was stored last.
            row = self._connection.execute(
                "SELECT sequence, chain, first + count FROM batches b WHERE host = ? AND NOT EXISTS"
                " (SELECT 1 FROM chain_breaks c WHERE c.host = b.host AND c.sequence = b.sequence"
                "  AND c.kind = 'late') ORDER BY rowid DESC LIMIT 1",
                [host],
            ).fetchone()
            top = self._connection.execute(
                "SELECT coalesce(max(sequence), 0) FROM batches WHERE host = ?", [host]
            ).fetchone()
            self._heads[host] = _Head(Link(*row) if row else None, int(top[0]) if top else 0)
        return self._heads[host]

    def _kept(self, host: HostId, sequence: int) -> list[Link]:
        """Return every batch kept under a sequence, oldest first."""
        stored: list[Link] = []
        if sequence <= self._head(host).highest:
            rows = self._connection.execute(
                "SELECT sequence, chain, first + count FROM batches"
                " WHERE host = ? AND sequence = ? ORDER BY rowid",
                [host, sequence],
            ).fetchall()
            stored = [Link(*row) for row in rows]
        return stored + self._fresh.get((host, sequence), [])

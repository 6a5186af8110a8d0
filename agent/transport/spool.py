"""Events on disk until the centre has them: loose batches, then sealed ones that are chained.

A batch is sealed when it leaves for the first time: it gets its numbers and its place in the
chain, and is never dropped or changed after that. Only loose batches are dropped when the spool
is full, and a gap with the exact count takes their place.
"""

import logging
import re
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgpack

from agent.database import open_database, transaction
from agent.rows import Columns, events_in, gap_row, part, to_columns
from wire import chain, codec
from wire.errors import MessageError
from wire.events import LATER, NAMES, encode_packed, pack_values, unpack_values
from wire.ids import HostId, MessageId, new_id
from wire.messages import EventBatch

log = logging.getLogger("holdfast.agent.spool")

_VERSION = 1
_LINK = re.compile(r"[0-9a-f]{64}")
# Half of what a message may have, so that joining small batches never makes one too large.
_FILL = codec.LARGEST // 2
_MOST_JOINED = 512

_SCHEMA = """
CREATE TABLE chain (sequence INTEGER NOT NULL, events INTEGER NOT NULL, previous TEXT NOT NULL)
    STRICT;
CREATE TABLE loose (
    number INTEGER PRIMARY KEY, rows INTEGER NOT NULL, events INTEGER NOT NULL,
    gap INTEGER NOT NULL, columns BLOB NOT NULL
) STRICT;
CREATE TABLE sealed (
    sequence INTEGER PRIMARY KEY, message_id TEXT NOT NULL, data BLOB NOT NULL
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A batch that has its place in the chain. `data` is the message, for good."""

    sequence: int
    message_id: MessageId
    data: bytes


class Spool:
    """Events that the centre does not have yet. `moved` is where a damaged file was put."""

    def __init__(self, path: Path, host: HostId, *, limit_bytes: int) -> None:
        self._path = path
        self._host = host
        self._limit = limit_bytes
        opened = open_database(path, _SCHEMA, version=_VERSION, check=_check)
        self._db = opened.connection
        self.moved = opened.moved
        if self._db.execute("SELECT count(*) FROM chain").fetchone()[0] == 0:
            self._db.execute("INSERT INTO chain VALUES (0, 0, ?)", (chain.NOTHING_BEFORE,))
        size, last = self._db.execute(
            "SELECT coalesce(sum(length(columns)), 0), coalesce(max(number), 0) FROM loose"
        ).fetchone()
        self._bytes: int = size
        self._last: int = last
        self._from_before = last  # what an earlier run has left is looked at before it is sent

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @property
    def waiting(self) -> int:
        """How many rows are not acknowledged, without those of a sealed batch on its way."""
        return int(self._db.execute("SELECT coalesce(sum(rows), 0) FROM loose").fetchone()[0])

    def add(self, columns: Columns, now_ns: int) -> None:
        """Keep rows until they are sent; raise JournalError if the disk refuses.

        What is too large for one message is split. One event that is too large by itself becomes
        a gap of one.
        """
        with transaction(self._db, self._path, durable=False):
            before = (self._bytes, self._last)
            try:
                for piece in self._pieces(columns, now_ns):
                    self._insert(piece)
                if self._bytes > self._limit:
                    self._drop_oldest(now_ns)
            except BaseException:
                self._bytes, self._last = before
                raise

    def next(self) -> Sealed | None:
        """Return the batch to send: the one on its way, else a new one; None if all are sent.

        It is synced to disk before it is returned: its number must never be given twice.
        """
        row = self._db.execute(
            "SELECT sequence, message_id, data FROM sealed ORDER BY sequence LIMIT 1"
        ).fetchone()
        if row is not None:
            return Sealed(row[0], MessageId(row[1]), row[2])
        with transaction(self._db, self._path):
            return self._seal()

    def on_their_way(self) -> list[MessageId]:
        """Return the message ids of batches that are sealed and not acknowledged."""
        return [MessageId(row[0]) for row in self._db.execute("SELECT message_id FROM sealed")]

    def sent(self, batch: Sealed) -> None:
        """Take out a batch that was acknowledged. Not synced: sending twice is harmless."""
        with transaction(self._db, self._path, durable=False):
            self._db.execute("DELETE FROM sealed WHERE sequence = ?", (batch.sequence,))

    def rename(self, batch: Sealed) -> Sealed:
        """Give a batch another message id, because the server knew the first one already."""
        message_id = MessageId(new_id())
        with transaction(self._db, self._path):
            self._db.execute(
                "UPDATE sealed SET message_id = ? WHERE sequence = ?", (message_id, batch.sequence)
            )
        return Sealed(batch.sequence, message_id, batch.data)

    def _seal(self) -> Sealed | None:
        numbers: list[int] = []
        pieces: list[dict[str, bytes]] = []
        count = lost = size = 0
        for number, rows, events_lost, length, packed in self._db.execute(
            "SELECT number, rows, events, length(columns), columns FROM loose "
            "ORDER BY number LIMIT ?",
            (_MOST_JOINED,),
        ):
            if pieces and size + length > _FILL:
                break
            numbers.append(number)
            # What this run has put there is known to be sound.
            sure = number > self._from_before
            piece, rows = _unpacked(packed, rows, events_lost, sure=sure)
            pieces.append(piece)
            count += rows
            lost += events_lost
            size += length
        if not pieces:
            return None
        sequence, events, previous = self._db.execute("SELECT * FROM chain").fetchone()
        batch = EventBatch(
            host=self._host,
            sequence=sequence + 1,
            first=events + 1,
            count=count,
            previous=previous,
            columns={},
        )
        values = {name: b"".join([piece[name] for piece in pieces]) for name in NAMES}
        place = (batch.host, batch.sequence, batch.first, batch.previous)
        try:
            link = chain.link(*place, _filled(values, count))
        except (MessageError, ValueError) as error:
            log.exception("%d events on disk are not what was kept there", lost)
            gap = to_columns([gap_row(time.time_ns(), lost, f"cannot be sealed: {error}")])
            values, count = {name: pack_values(gap[name]) for name in NAMES}, 1
            link = chain.link(*place, gap)
        batch = replace(batch, count=count, chain_version=chain.ROWS, chain=link.chain)
        sealed = Sealed(batch.sequence, MessageId(new_id()), encode_packed(batch, values))
        self._db.execute("DELETE FROM loose WHERE number <= ?", (numbers[-1],))
        self._db.execute(
            "INSERT INTO sealed VALUES (?, ?, ?)", (sealed.sequence, sealed.message_id, sealed.data)
        )
        self._db.execute(
            "UPDATE chain SET sequence = ?, events = ?, previous = ?",
            (sealed.sequence, events + count, batch.chain),
        )
        self._bytes -= size
        return sealed

    def _pieces(self, columns: Columns, now_ns: int) -> list[tuple[Columns, bytes]]:
        packed = _packed(columns)
        if len(packed) <= _FILL:
            return [(columns, packed)]
        count = len(columns["count"])
        if count == 1:
            lost = to_columns([gap_row(now_ns, events_in(columns), "an event too large to send")])
            return [(lost, _packed(lost))]
        halves = part(columns, 0, count // 2), part(columns, count // 2, count)
        return [piece for half in halves for piece in self._pieces(half, now_ns)]

    def _insert(self, piece: tuple[Columns, bytes]) -> None:
        columns, packed = piece
        self._last += 1
        self._db.execute(
            "INSERT INTO loose VALUES (?, ?, ?, 0, ?)",
            (self._last, len(columns["count"]), events_in(columns), packed),
        )
        self._bytes += len(packed)

    def _drop_oldest(self, now_ns: int) -> None:
        """Replace the oldest batches by one gap until a tenth of the spool is free again.

        A gap that is the oldest already is made to cover what is dropped now.
        """
        aim, lost, victims = self._limit * 9 // 10, 0, []
        for number, events, length in self._db.execute(
            "SELECT number, events, length(columns) FROM loose ORDER BY number"
        ):
            if self._bytes <= aim:
                break
            victims.append(number)
            lost += events
            self._bytes -= length
        columns = to_columns([gap_row(now_ns, lost, "the spool was full; the oldest were dropped")])
        packed = _packed(columns)
        self._db.execute("DELETE FROM loose WHERE number <= ?", (victims[-1],))
        self._db.execute("INSERT INTO loose VALUES (?, 1, ?, 1, ?)", (victims[-1], lost, packed))
        self._bytes += len(packed)


def _check(database: sqlite3.Connection) -> None:
    """Raise ValueError unless the chain can go on from what is here."""
    links = database.execute("SELECT sequence, events, previous FROM chain").fetchall()
    sealed = [
        sequence
        for sequence, _, _ in database.execute(
            "SELECT sequence, message_id, length(data) FROM sealed"
        )
    ]
    loose = "SELECT coalesce(min(min(number, rows, events, gap, length(columns))), 0) FROM loose"
    last = links[0][0] if links else 0
    if (
        len(links) > 1
        or any(min(row[:2]) < 0 or not _LINK.fullmatch(row[2]) for row in links)
        or any(not 1 <= sequence <= last for sequence in sealed)
        or database.execute(loose).fetchone()[0] < 0
    ):
        raise ValueError("its numbers are not those of one chain")


def _packed(columns: Columns) -> bytes:
    """Return columns as they are kept: so that pieces are joined without unpacking a value."""
    packed: bytes = msgpack.packb({name: pack_values(columns[name]) for name in NAMES})
    return packed


def _filled(values: Mapping[str, bytes], count: int) -> dict[str, list[object]]:
    """Return the columns that have values, unpacked: what is absent is most of them."""
    absent = pack_values([None] * count)
    return {
        name: unpack_values(packed, count) for name, packed in values.items() if packed != absent
    }


def _unpacked(kept: bytes, rows: int, events: int, *, sure: bool) -> tuple[dict[str, bytes], int]:
    """Return what `_packed` has made, and of how many rows; a gap if it cannot be read.

    Earlier versions kept lists and fewer columns, which may still wait.
    """
    try:
        later = dict.fromkeys(LATER, [None] * rows)
        columns: dict[str, bytes | list[object]] = later | msgpack.unpackb(kept, raw=False)
        packed = {
            name: values if isinstance(values, bytes) else pack_values(values)
            for name, values in ((name, columns[name]) for name in NAMES)
        }
        if sure or all(_count(values) == rows for values in packed.values()):
            return packed, rows
    except (ValueError, TypeError, KeyError, msgpack.exceptions.UnpackException):
        log.exception("a batch of %d events on disk cannot be read", events)
    lost = to_columns([gap_row(time.time_ns(), events, "what the spool had could not be read")])
    return {name: pack_values(values) for name, values in lost.items()}, 1


def _count(values: bytes) -> int:
    """Return how many values are packed there, one behind the other."""
    unpacker = msgpack.Unpacker(raw=False)
    unpacker.feed(values)
    return sum(1 for _ in unpacker)

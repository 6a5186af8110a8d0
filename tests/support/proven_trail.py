"""A trail with something in every table, signed in several checkpoints; and hands to change it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from collector.config import Trail
from collector.nats.publish import Stored
from collector.proof.anchors import Anchor, FileAnchor
from collector.proof.file import CheckpointFile
from collector.proof.notary import Notary
from collector.proof.running import PROVEN
from collector.proof.tombstone import signed
from collector.trail import schema
from collector.trail.event_rows import EventRows, event_rows
from collector.trail.rows import Row, checked_row
from collector.trail.store import open_trail, trail_id
from collector.trail.writer import Writer
from tests.support.wire_host import batch
from wire.codec import chain_digest, encode
from wire.ids import HostId
from wire.signing import Signer

HOSTS = (HostId("a" * 32), HostId("b" * 32))
KEY = Signer.from_seed("11" * 32, place="test")
OTHER_KEY = Signer.from_seed("22" * 32, place="test")
_VALUES = {"int64": 7, "string": "words é", "bool": True, "binary": b"\0\xff"}


class OneStream:
    """Keeps the first message of each subject, as JetStream does."""

    def __init__(self) -> None:
        self.messages: dict[str, bytes] = {}

    async def first(
        self, stream: str, subject: str, data: bytes, headers: Mapping[str, str]
    ) -> Stored | None:
        """Store it, or return what is there."""
        if subject in self.messages:
            return Stored(self.messages[subject], {})
        self.messages[subject] = data
        return None

    async def stored(self, stream: str, subject: str) -> Stored | None:
        """Return what is there."""
        data = self.messages.get(subject)
        return None if data is None else Stored(data, {})

    async def newest_subject(self, stream: str, subject: str) -> str:
        """Return the last subject."""
        return next(reversed(self.messages), "")


def row(table: schema.Table, number: int) -> Row:
    """Return a row with a value in every column, of its own by `number`."""
    values: dict[str, object] = {}
    for field in table.schema:
        value = _VALUES.get(str(field.type), ["a", "b"])
        values[field.name] = value
        if str(field.type) == "string" and field.name != "host":
            values[field.name] = f"{field.name} {number}"
        if str(field.type) == "int64":
            values[field.name] = number + (0 if number % 2 else 2**62)
    return checked_row(table, values)


def tombstone(number: int, signer: Signer, trail: str) -> Row:
    """Return a tombstone of a host that has sent nothing: it covers no event, and says so."""
    named = row(schema.TOMBSTONES, number).values
    kept = [name for name in named if name not in ("tombstone", "signed_by", "signature")]
    values = {name: named[name] for name in kept} | {"events": 0}
    return checked_row(schema.TOMBSTONES, signed(trail, values, signer))


def chain_of(host: HostId, sizes: Sequence[int]) -> list[EventRows]:
    """Return batches of several kinds; the first is of an earlier agent."""
    made, previous, first = [], "", 1
    for sequence, size in enumerate(sizes, 1):
        rows: list[dict[str, object]] = [
            {
                "kind": ("open", "exec", "gap")[number % 3],
                "pid": number,
                "argv": ["git", f"{number}", ""] if number % 3 == 1 else None,
                "path": f'/srv/"{number}"\n' if number % 3 < 2 else None,
                "count": 1 + number % 3,
            }
            for number in range(first, first + size)
        ]
        message = batch(host, sequence, first, rows, previous)
        if sequence == 1:
            message = replace(message, chain_version=1, chain="")
        data = encode(message)
        previous = chain_digest(data) if sequence == 1 else message.chain
        made.append(event_rows(message, data))
        first += size
    return made


async def _fill(directory: Path, signer: Signer, anchors: Sequence[Anchor]) -> None:
    settings = Trail(file=str(directory / "trail.duckdb"))
    connection = open_trail(settings)
    writer = Writer(connection, on_fatal=lambda _: None)
    notary = Notary(
        connection,
        writer,
        OneStream(),
        signer,
        trail=trail_id(connection),
        every_s=60,
        file=CheckpointFile(settings.checkpoints),
        anchors=anchors,
    )
    tables = [one for one in schema.TABLES if one.name in PROVEN and one.name not in _NOT_FILLED]
    chains = [chain_of(host, (4, 6, 5, 7, 3)) for host in HOSTS]
    for step in range(5):
        rows = [row(table, step * 3 + n) for table in tables for n in range(1 + (step + 1) % 3)]
        rows += [
            tombstone(step * 3 + n, signer, trail_id(connection)) for n in range(1 + (step + 1) % 3)
        ]
        await writer.write(rows=rows, batches=[chain[step] for chain in chains])
        if step in (1, 2):
            await asyncio.wrap_future(writer.write_out())
        await notary.round()
    await asyncio.to_thread(writer.close)
    connection.close()


_NOT_FILLED = frozenset({"batches", "chain_breaks", "anchors", "tombstones"})


def make_trail(directory: Path, signer: Signer = KEY, *, anchor: Path | None = None) -> Path:
    """Make a trail in a new directory, and return that."""
    directory.mkdir()
    anchors = [FileAnchor(anchor)] if anchor else []
    asyncio.run(_fill(directory, signer, anchors))
    return directory


def change(directory: Path, *statements: str) -> int:
    """Change the file with nobody watching; return how many rows the last statement changed."""
    with duckdb.connect(str(directory / "trail.duckdb")) as connection:
        changed = 0
        for statement in statements:
            found = connection.execute(statement).fetchone()
            changed = int(found[0]) if found else 0
        return changed


def segments_of(directory: Path) -> list[Path]:
    """Return the files of events."""
    return sorted((directory / "segments").glob("*/*.parquet"))


def change_events(directory: Path, statement: str) -> int:
    """Change the events, as `change` does: what comes of it is one segment in place of all."""
    files = segments_of(directory)
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{directory / 'trail.duckdb'}' AS trail")
        connection.execute(
            "CREATE TABLE events AS FROM read_parquet(?) UNION ALL BY NAME"
            ' SELECT *, make_timestamp(time_ns // 1000) AS "when" FROM trail.events_tail',
            [[str(file) for file in files]],
        )
        found = connection.execute(statement).fetchone()
        # Latest first, as no collector would write them.
        connection.execute(
            f"COPY (FROM events ORDER BY number DESC) TO '{files[0]}' (WRITE_BLOOM_FILTER false)"
        )
        for file in files[1:]:
            file.unlink()
        connection.execute("DELETE FROM trail.segments WHERE file != ?", [files[0].name])
        connection.execute("DELETE FROM trail.events_tail")
        connection.execute(
            "UPDATE trail.segments SET bytes = ?, columns = ?,"
            " rows = (SELECT count(*) FROM events),"
            " first_ns = (SELECT min(time_ns) FROM events),"
            " last_ns = (SELECT max(time_ns) FROM events)",
            [files[0].stat().st_size, len(schema.STORED)],
        )
        return int(found[0]) if found else 0


def all_events(directory: Path) -> list[dict[str, Any]]:
    """Return the events by host and number."""
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{directory / 'trail.duckdb'}' AS trail (READ_ONLY)")
        rows = connection.execute(
            "FROM read_parquet(?) UNION ALL BY NAME FROM trail.events_tail ORDER BY host, number",
            [[str(file) for file in segments_of(directory)]],
        )
        names = [column[0] for column in rows.description or ()]
        return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]

"""Sees to it that the trail is signed every while, and that each checkpoint gets everywhere.

A checkpoint is in the trail first, then in the file, the stream and the anchors. What one of those
did not take is tried again in the next round, and nothing else waits for it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import duckdb

from collector.backup.mark import Restored
from collector.errors import CollectorError, ProofError
from collector.nats.publish import Stored
from collector.proof.anchors import Anchor
from collector.proof.checkpoint import AfterRestore, digest_of, read, sign
from collector.proof.file import CheckpointFile
from collector.proof.lost import lost_checkpoints
from collector.proof.make import last_line, next_checkpoint
from collector.trail import schema
from collector.trail.rows import Row, checked_row
from collector.trail.writer import Writer
from wire import subjects
from wire.signing import Signer

log = logging.getLogger(__name__)

_AT_ONCE = 256


class Stream(Protocol):
    """What publishes: the first message of a subject stays (see collector.nats.publish)."""

    async def first(
        self, stream: str, subject: str, data: bytes, headers: Mapping[str, str]
    ) -> Stored | None:
        """Store it, or return what is there."""

    async def newest_subject(self, stream: str, subject: str) -> str:
        """Return the subject of the newest message under one with wildcards, "" for none."""

    async def stored(self, stream: str, subject: str) -> Stored | None:
        """Return the message of a subject, None if there is none."""


class Notary:
    """One for a trail."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        writer: Writer,
        publisher: Stream,
        signer: Signer,
        *,
        trail: str,
        every_s: float,
        file: CheckpointFile,
        anchors: Sequence[Anchor],
        restored: Restored | None = None,
        on_restored: Callable[[], None] = lambda: None,
    ) -> None:
        """`restored`: a backup was put back, and no checkpoint says so yet; then it is told."""
        self._connection = connection
        self._writer = writer
        self._publisher = publisher
        self._signer = signer
        self._trail = trail
        self._every_s = every_s
        self._file = file
        self._anchors = anchors
        self._restored = restored
        self._on_restored = on_restored
        self._last: str | None = None  # the newest line, once it was looked for
        self._published: int | None = None

    async def run(self) -> None:
        """Go on for ever."""
        while True:
            await self.round()
            await asyncio.sleep(self._every_s)

    async def round(self) -> None:
        """Make a checkpoint if there is something new; give everybody what they do not have."""
        if await self._try("made", self.make):
            await self._try("written to the file", self._to_file)
        if self._restored is not None:
            return  # what is here is older than what is elsewhere
        await self._try("published", self._to_stream)
        for anchor in self._anchors:
            await self._try("anchored", partial(self._to_anchor, anchor))

    async def end(self) -> None:
        """The last of this run; what is outside gets it in the next."""
        if await self._try("made", self.make):
            await self._try("written to the file", self._to_file)

    async def make(self) -> None:
        """Sign the trail as it is, unless that is done; raise CollectorError or duckdb.Error."""
        # Unless all goes well, the trail is asked which is the newest: a run that is cancelled may
        # have written one that it never heard of.
        last, self._last = self._last, None
        if last is None:
            last = await asyncio.to_thread(self._read_last)
        if self._restored is not None:
            self._last = await self._after_restore(self._restored, last)
            return
        made = await asyncio.to_thread(next_checkpoint, self._connection, self._trail, last)
        if made is None:
            self._last = last
            return
        line = sign(made, self._signer)
        await self._writer.write(rows=[_row(line)])
        self._last = line

    async def _after_restore(self, restored: Restored, base: str) -> str:
        """Bring back the checkpoints that were lost, and sign that the trail was restored.

        Return the newest line then.
        """
        said = AfterRestore(restored.checkpoint, restored.backup_ns, restored.restored_ns)
        line = base
        if not base or read(base)[0].restored != said:
            lost = await lost_checkpoints(self._publisher, self._trail, base)
            before = lost[-1] if lost else base
            made = await asyncio.to_thread(
                partial(next_checkpoint, base=base, restored=said),
                self._connection,
                self._trail,
                before,
            )
            assert made is not None
            line = sign(made, self._signer)
            await self._writer.write(rows=[_row(one) for one in (*lost, line)])
            log.warning(
                "the trail was restored from a backup with checkpoint %d; %d later ones were lost "
                "with the disk and are back from %s; checkpoint %d goes on from there",
                restored.checkpoint,
                len(lost),
                subjects.CHECKPOINTS,
                made.number,
            )
        try:
            await asyncio.to_thread(self._on_restored)
        except OSError as error:
            raise ProofError(f"the mark of the restore cannot be removed: {error}") from error
        self._restored = None
        return line

    async def _to_file(self) -> None:
        await asyncio.to_thread(self._file.bring_up, self._lines_after)

    async def _to_stream(self) -> None:
        if self._published is None:
            subject = f"hf.checkpoint.{self._trail}.*"
            newest = await self._publisher.newest_subject(subjects.CHECKPOINTS, subject)
            there = int(newest.rpartition(".")[2]) if newest else 0
            last = self._last or await asyncio.to_thread(self._read_last)
            own = read(last)[0].number if last else 0
            if there > own:
                log.error(
                    "%s holds checkpoint %d of this trail, and the newest here is %d: its file was "
                    "put back to an earlier state",
                    subjects.CHECKPOINTS,
                    there,
                    own,
                )
            # The newest of both goes there again, to be compared.
            self._published = max(0, min(there, own) - 1)
        while lines := await asyncio.to_thread(self._lines_after, self._published):
            for number, line in lines:
                subject = subjects.checkpoint(self._trail, number)
                data = line.encode()
                stored = await self._publisher.first(subjects.CHECKPOINTS, subject, data, {})
                if stored is not None and stored.data != data:
                    log.error(
                        "%s holds another checkpoint %d of this trail: its file was put back to "
                        "an earlier state, or somebody has its key",
                        subjects.CHECKPOINTS,
                        number,
                    )
                self._published = number

    async def _to_anchor(self, anchor: Anchor) -> None:
        """Give it the newest: that covers all that came before."""
        found = await asyncio.to_thread(self._newest, anchor.name)
        if found is None:
            return
        number, line = found
        receipt = await anchor.publish(line)
        values = {
            "checkpoint": number,
            "anchor": anchor.name,
            "receipt": receipt,
            "time_ns": time.time_ns(),
        }
        await self._writer.write(rows=[checked_row(schema.ANCHORS, values)])

    def _newest(self, anchor: str) -> tuple[int, str] | None:
        """Return the newest checkpoint, unless that anchor has it."""
        found = self._rows(
            "SELECT number, line FROM checkpoints WHERE number = (SELECT max(number) FROM"
            " checkpoints) AND number NOT IN (SELECT checkpoint FROM anchors WHERE anchor = ?)",
            [anchor],
        )
        return found[0] if found else None

    def _lines_after(self, number: int) -> list[tuple[int, str]]:
        return self._rows(
            "SELECT number, line FROM checkpoints WHERE number > ? ORDER BY number LIMIT ?",
            [number, _AT_ONCE],
        )

    def _rows(self, sql: str, values: Sequence[object]) -> list[tuple[int, str]]:
        cursor = self._connection.cursor()
        try:
            return [(row[0], row[1]) for row in cursor.execute(sql, list(values)).fetchall()]
        except duckdb.Error as error:
            raise ProofError(f"the checkpoints cannot be read: {error}") from error
        finally:
            cursor.close()

    def _read_last(self) -> str:
        cursor = self._connection.cursor()
        try:
            return last_line(cursor)
        finally:
            cursor.close()

    async def _try(self, what: str, step: Callable[[], Awaitable[None]]) -> bool:
        try:
            await step()
        except (CollectorError, duckdb.Error) as error:
            log.error("the trail's checkpoint is not %s: %s; trying again", what, error)
            return False
        return True


def _row(line: str) -> Row:
    """Return the row of a checkpoint."""
    made, key = read(line)
    values = {
        "number": made.number,
        "time_ns": made.time_ns,
        "previous": made.previous,
        "digest": digest_of(line),
        "signed_by": key,
        "line": line,
    }
    return checked_row(schema.CHECKPOINTS, values)

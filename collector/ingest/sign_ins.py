"""Copies what was done with who is let in from the file of identities into the trail.

The rows have ids and the file remembers how far a trail has them, so a crash in between copies some
twice and the trail keeps one of each.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from collector.errors import StateError, TrailError
from collector.identity.changes import FileChanges
from collector.identity.journal import Entry, copied, not_copied
from collector.trail import schema
from collector.trail.rows import Row, checked_row
from collector.trail.writer import Writer

log = logging.getLogger(__name__)

_AT_ONCE = 500
_AGAIN_S = 2.0
# A file that was put in the place of another is noticed by then.
_LOOK_S = 30.0
# A write is told of before the disk has it, and only then can others read what was committed.
_SETTLES_S = (0.05, 0.25, 1.0, 3.0)


class SignInCopy:
    """Keeps one trail up with one file. `seen_by` is the public key of this collector."""

    def __init__(self, database: Path, writer: Writer, *, trail: str, seen_by: str) -> None:
        self._database = database
        self._writer = writer
        self._trail = trail
        self._seen_by = seen_by

    async def run(self) -> None:
        """Copy for ever; cancel to stop."""
        changes, written = FileChanges(self._database), False
        try:
            while True:
                try:
                    changes.changed.clear()
                    changes.watch()
                    await self.copy()
                    for pause_s in _SETTLES_S if written else ():
                        await asyncio.sleep(pause_s)
                        await self.copy()
                except (StateError, TrailError) as error:
                    log.warning("sign-ins are not in the trail yet: %s", error)
                    await asyncio.sleep(_AGAIN_S)
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await changes.changed.wait()
                written = changes.changed.is_set()
        finally:
            changes.close()

    async def copy(self) -> None:
        """Bring over what is there now; raise StateError or TrailError."""
        while True:
            entries, last = await asyncio.to_thread(
                not_copied, self._database, self._trail, _AT_ONCE
            )
            if not entries:
                return
            await self._writer.write(self._rows(entries))
            await asyncio.to_thread(copied, self._database, self._trail, last)

    def _rows(self, entries: Sequence[Entry]) -> list[Row]:
        facts = {"seen_by": self._seen_by, "received_ns": time.time_ns()}
        return [checked_row(schema.SIGN_INS, asdict(entry) | facts) for entry in entries]

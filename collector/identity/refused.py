"""Sign-ins that were refused: each is written down, those that are the same in a minute as one row.

Anyone may try, and as often as they like, so what can be written in a minute is bounded.
"""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

from collector.errors import StateError
from collector.identity.journal import Entry, What, note_alone

log = logging.getLogger(__name__)

_TOGETHER_S = 60.0
_MOST = 50
_LONGEST_REASON = 300
MANY = "many addresses"

_Key = tuple[str, str, str]


class RefusedSignIns:
    """The first of a kind is written at once; how many more there were, when its minute is over."""

    def __init__(self, database: Path, *, together_s: float = _TOGETHER_S) -> None:
        self._database = database
        self._together_s = together_s
        self._more: dict[_Key, Entry | None] = {}
        self._writing: set[asyncio.Task[None]] = set()

    async def note(self, via: str, reason: str, address: str) -> None:
        """Write it down; that it cannot be written keeps nobody out who is out already."""
        reason = reason[:_LONGEST_REASON]
        key = (via, reason, address)
        if key not in self._more and len(self._more) >= _MOST:
            key = (via, "", MANY)
        entry = Entry(
            what=What.SIGN_IN, outcome="refused", via=key[0], reason=key[1], address=key[2]
        )
        if key in self._more:
            counted = self._more[key]
            self._more[key] = (
                entry if counted is None else replace(counted, times=counted.times + 1)
            )
            return
        self._more[key] = None
        asyncio.get_running_loop().call_later(self._together_s, self._over, key)
        await asyncio.to_thread(self._write, entry)

    async def close(self) -> None:
        """Write what is still counted."""
        for key in list(self._more):
            self._over(key)
        await asyncio.gather(*self._writing)

    def _over(self, key: _Key) -> None:
        entry = self._more.pop(key, None)
        if entry is not None:
            task = asyncio.ensure_future(asyncio.to_thread(self._write, entry))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    def _write(self, entry: Entry) -> None:
        try:
            note_alone(self._database, entry)
        except StateError as error:
            log.error("a refused sign-in is not written down: %s", error)

"""Renders the card that every channel shows, and knows again each that it has given out.

A card depends on nobody in particular, and a long command takes long to make safe to show: however
many people look, it is rendered once. What is given out is on disk a moment later.
"""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import replace
from typing import Protocol

from collector.alike import alike
from collector.approvals.capped import Capped
from collector.approvals.record import Record, RequestState
from collector.capped_card import render_capped
from collector.card import render
from collector.errors import StateError
from collector.shown.content import ShownCard
from collector.shown.file import ShownFile
from wire.ids import HostId, RequestId
from wire.messages import HoldOpened

log = logging.getLogger(__name__)

_RENDERED = 256
_REMEMBERED = 2000


class Names(Protocol):
    """Gives hosts the names that they were enrolled under."""

    def name(self, host: HostId, claimed: str) -> str:
        """Return the name of a host, which calls itself `claimed`."""


class ShownCards:
    """The cards of requests, and of sessions at their limit. Used from one event loop."""

    def __init__(self, names: Names, file: ShownFile | None = None) -> None:
        """Without a `file`, what was shown is known for as long as the process lives."""
        self._names = names
        self._file = file
        self._rendered: OrderedDict[tuple[str, str, str, int], ShownCard] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._unwritten: list[tuple[str, str, str]] = []
        self._writing: asyncio.Task[None] | None = None

    def host_name(self, opened: HoldOpened) -> str:
        """Return the enrolled name, so that no host can pass for another one before a reviewer."""
        return self._names.name(opened.host, opened.host_name)

    def of(self, record: Record) -> ShownCard:
        """Return the card of a request as it stands."""
        name = self.host_name(record.opened)
        key = (record.id, record.hold, name, record.length)
        shown = self._rendered.pop(key, None)
        if shown is None:
            opened = replace(record.opened, host_name=name)
            shown = ShownCard.of(
                render(opened, record.states, record.decision, alike(record), record.notes)
            )
        self._rendered[key] = shown
        if len(self._rendered) > _RENDERED:
            self._rendered.popitem(last=False)
        if record.state is RequestState.OPEN:  # nobody answers any other
            self._remember(record.id, shown)
        return shown

    def of_session(self, capped: Capped) -> ShownCard:
        """Return the card of a session at its limit, as it stands."""
        shown = ShownCard.of(render_capped(capped, self.host_name(capped.of)))
        if not capped.finished:
            self._remember(capped.id, shown)
        return shown

    async def find(self, what: Record | Capped, digest: str) -> str | None:
        """Return the content of the card of this digest, if it was shown of this; else None."""
        now = self.of_session(what) if isinstance(what, Capped) else self.of(what)
        if now.digest == digest:
            return now.content
        # Identical holds may have been folded in another way when it was shown.
        holds = () if isinstance(what, Capped) else (RequestId(one.hold) for one in what.holds)
        places = dict.fromkeys((what.id, *holds))
        for request in places:
            if (content := self._known.get((request, digest))) is not None:
                return content
        if self._file is None:
            return None
        for request in places:
            try:
                content = await self._file.content(request, digest)
            except StateError as error:
                log.error("cards: %s", error)
                return None
            if content is not None:
                return content
        return None

    async def written(self) -> None:
        """Return once the disk has what was given out, or cannot take it."""
        while self._writing is not None:
            await asyncio.shield(self._writing)

    def _remember(self, request: RequestId, shown: ShownCard) -> None:
        key = (request, shown.digest)
        if key in self._known:
            self._known.move_to_end(key)
            return
        self._known[key] = shown.content
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        if self._file is not None:
            self._unwritten.append((*key, shown.content))
            if self._writing is None:
                self._writing = asyncio.get_running_loop().create_task(self._write(self._file))

    async def _write(self, file: ShownFile) -> None:
        """Write what has gathered until nothing has. What fails is known until the process ends."""
        try:
            while cards := self._unwritten:
                self._unwritten = []
                try:
                    await file.add(cards)
                except StateError as error:
                    log.error("cards: %s", error)
        finally:
            self._writing = None

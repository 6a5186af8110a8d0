"""Tells exports that the trail has more, so that none of them looks in vain."""

import asyncio
from collections.abc import Sequence
from typing import Any

from collector.trail.rows import EventRows, Row
from collector.trail.writer import Writer


class Bell:
    """Rings for all who listen; for one event loop."""

    def __init__(self) -> None:
        self._listeners: list[asyncio.Event] = []

    def listen(self) -> asyncio.Event:
        """Return what is set at each ring; whoever waits clears it."""
        event = asyncio.Event()
        self._listeners.append(event)
        return event

    def ring(self) -> None:
        """Say that something was written."""
        for event in self._listeners:
            event.set()


class TellingWriter(Writer):
    """A writer that rings after each commit."""

    def __init__(self, *arguments: Any, bell: Bell, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._bell = bell

    async def write(self, rows: Sequence[Row] = (), batches: Sequence[EventRows] = ()) -> None:
        """Write as the writer does, and ring."""
        await super().write(rows, batches)
        self._bell.ring()

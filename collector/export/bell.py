"""Tells exports that the trail has more, so that none of them looks in vain."""

import asyncio


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

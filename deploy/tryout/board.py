"""What is known of the run so far, put there by two readers (keeper and collector), awaited by one.

Nothing here polls: a reader wakes whoever waits, and a failure ends every wait.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from deploy.tryout.errors import PartError, ProofError

T = TypeVar("T")
Facts = dict[str, Any]


class Board:
    """The facts of a run: the keeper's events in order, and each request as last seen."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # Becomes readable at a failure and when a request changes, for who waits for a key.
        self.wake, self._waker = os.pipe()
        # A full pipe wakes well enough; no reader may wait for a key to be pressed.
        os.set_blocking(self._waker, False)
        self._failure = ""
        self.events: list[Facts] = []
        self.requests: dict[str, Facts] = {}

    def add_event(self, event: Facts) -> None:
        """Put up what the keeper said."""
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()
        if event["event"] == "failed":
            self.fail(str(event["message"]))

    def put_request(self, request: Facts) -> None:
        """Put up a request as the collector shows it now."""
        with self._changed:
            self.requests[str(request["request"])] = request
            self._changed.notify_all()
        self._ring()

    def fail(self, message: str) -> None:
        """End every wait with a message; the first one stands."""
        with self._changed:
            self._failure = self._failure or message
            self._changed.notify_all()
        self._ring()

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._waker, b"!")

    def now(self, request: Facts) -> Facts:
        """Return a request as the collector has shown it last."""
        return self.requests[str(request["request"])]

    def is_open(self, request: Facts) -> bool:
        """Whether a request still waits for an answer."""
        return bool(self.now(request)["state"] == "open")

    def is_well(self) -> bool:
        """Whether nothing has failed."""
        return not self._failure

    def check(self) -> None:
        """Raise PartError if something has failed."""
        with self._changed:
            if self._failure:
                raise PartError(self._failure)

    def wait(self, find: Callable[[], T | None], what: str, seconds: float) -> T:
        """Return what `find` finds, once it does; raise ProofError naming `what` in the end."""
        found: T | None = None

        def over() -> bool:
            nonlocal found
            found = find()
            return found is not None or bool(self._failure)

        with self._changed:
            self._changed.wait_for(over, seconds)
            if found is not None:
                return found
            if self._failure:
                raise PartError(self._failure)
        raise ProofError(f"waited {seconds:.0f} s for {what}, which did not come")

    def worker(self, task: str, state: str) -> Facts | None:
        """Return what the worker said of a task, None if it has not."""
        for event in self.events:
            if event["event"] == "worker" and (event["task"], event["state"]) == (task, state):
                return event
        return None

    def received(self) -> int:
        """Return how many bytes have reached the address outside."""
        return sum(int(event["bytes"]) for event in self.events if event["event"] == "received")

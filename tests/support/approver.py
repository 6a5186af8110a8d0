"""A person who approves all that is asked, by the way that people have: the API, with their token.

    with Approver(home) as person:
        person.delay_s = 0.5
        ...
        person.done()              # {"open": 3, "exec": 1}

Each answer names the digest of what was shown, and is given when the request has stood so long.
"""

import heapq
import itertools
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Self

import httpx

from collector.cli.events import read_events
from tests.support.centre import Centre
from tests.support.house import House, Request
from tests.support.inside import PATIENCE

_WAIT_S = 60 * PATIENCE
# Its process has ended meanwhile, or it was answered with a twin that it had joined.
_OVER = {409, 410}


class Approver:
    """Follows the stream of requests in one thread, and answers from another."""

    def __init__(self, home: House) -> None:
        self.delay_s = 0.0
        self._approved: Counter[str] = Counter()
        self.failures: list[str] = []
        self._auth = Centre.auth(home.reviewer)
        self._url = f"{home.centre.api_url}/api/v1/requests"
        self._reading = httpx.Client(
            timeout=httpx.Timeout(10 * PATIENCE, read=None), headers=self._auth
        )
        self._writing = httpx.Client(timeout=30 * PATIENCE, headers=self._auth)
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Request]] = []
        self._number = itertools.count()
        self._said: set[tuple[str, int]] = set()
        self._ready = threading.Event()
        self._closed = self._busy = False
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._follow, self._answer)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        assert self._ready.wait(_WAIT_S), "the stream of requests did not begin"
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._reading.close()
        self._threads[1].join()
        self._writing.close()

    def begin(self, delay_s: float) -> None:
        """Count anew, and think so long before each answer."""
        with self._changed:
            self.delay_s = delay_s
            self._approved.clear()
            self.failures.clear()

    def done(self) -> dict[str, int]:
        """Return how many were approved of each kind, once nobody waits for an answer."""
        with self._changed:
            assert self._changed.wait_for(lambda: not (self._due or self._busy), _WAIT_S)
            return dict(self._approved)

    def _follow(self) -> None:
        with (
            suppress(httpx.TransportError, RuntimeError),
            self._reading.stream("GET", f"{self._url}/stream") as response,
        ):
            for event in read_events(response.iter_bytes()):
                if event.name == "ready":
                    self._ready.set()
                elif event.name == "request" and event.data["state"] == "open":
                    self._take(event.data)

    def _take(self, request: Request) -> None:
        with self._changed:
            # It comes again when an identical hold joins it, and then needs another answer.
            key = (request["request"], request["count"])
            if key not in self._said:
                self._said.add(key)
                due = time.monotonic() + self.delay_s
                heapq.heappush(self._due, (due, next(self._number), request))
                self._changed.notify_all()

    def _answer(self) -> None:
        while (request := self._next()) is not None:
            response = self._writing.post(
                f"{self._url}/{request['request']}/decision",
                json={
                    "answer": "approve",
                    "reason": "a test of transparency",
                    "digest": request["digest"],
                },
            )
            with self._changed:
                if response.status_code == 200:
                    self._approved[request["act"]["kind"]] += 1
                elif response.status_code not in _OVER:
                    self.failures.append(response.text)
                self._busy = False
                self._changed.notify_all()

    def _next(self) -> Request | None:
        """Wait for the next request that is due; return None at the end."""
        with self._changed:
            while not self._closed:
                left = self._due[0][0] - time.monotonic() if self._due else None
                if left is not None and left <= 0:
                    self._busy = True
                    return heapq.heappop(self._due)[2]
                self._changed.wait(left)
            return None

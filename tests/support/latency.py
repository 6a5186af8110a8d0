"""How long a held call takes: until a reviewer can see it, and from the answer until it runs on.

All stamps are of one clock, CLOCK_MONOTONIC: the watched program's before and after its call, and
here when the API's stream has brought the request and when the answer is sent.
"""

import queue
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from collector.cli.events import read_events
from tests.support.centre import Centre
from tests.support.house import House

_WAIT_S = 60


@dataclass(frozen=True, slots=True)
class Held:
    """One held call: nanoseconds until it was seen, and from the answer until it ran on."""

    visible_ns: int
    running_ns: int


class Arrivals:
    """Follows the API's stream, and knows when each request came and when it closed."""

    def __init__(self, house: House) -> None:
        """`house` has a running centre; close() ends the following."""
        self._house = house
        self._came: dict[int, queue.Queue[tuple[int, dict[str, Any]]]] = {}
        self._known: set[str] = set()
        self._open: set[str] = set()
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._client = httpx.Client(timeout=httpx.Timeout(10, read=None))
        threading.Thread(target=self._follow, daemon=True).start()
        assert self._ready.wait(_WAIT_S), "the stream of requests did not begin"

    def _follow(self) -> None:
        with (
            suppress(httpx.TransportError, RuntimeError),
            self._client.stream(
                "GET",
                f"{self._house.centre.api_url}/api/v1/requests/stream",
                headers=Centre.auth(self._house.reviewer),
            ) as response,
        ):
            for event in read_events(response.iter_bytes()):
                now = time.monotonic_ns()
                if event.name == "ready":
                    self._ready.set()
                elif event.name == "request":
                    self._take(now, event.data)

    def _take(self, now: int, request: dict[str, Any]) -> None:
        name = request["request"]
        with self._changed:
            if request["state"] == "open":
                self._open.add(name)
            elif request["state"] == "cancelled" or request["outcome"] is not None:
                self._open.discard(name)
            self._changed.notify_all()
            if name in self._known or request["state"] != "open":
                return
            self._known.add(name)
            self._of(request["act"]["process"]["pid"]).put((now, request))

    def _of(self, pid: int) -> "queue.Queue[tuple[int, dict[str, Any]]]":
        return self._came.setdefault(pid, queue.Queue())

    def next(self, pid: int) -> tuple[int, dict[str, Any]]:
        """Return the next new request of a process, and when it came; fail if none does."""
        with self._changed:
            of_it = self._of(pid)
        return of_it.get(timeout=_WAIT_S)

    def wait_open(self, count: int) -> None:
        """Return once this many requests are open, as the stream shows them."""
        with self._changed:
            done = self._changed.wait_for(lambda: len(self._open) == count, _WAIT_S)
            assert done, f"{len(self._open)} requests are open, not {count}"

    def close(self) -> None:
        """Stop following."""
        self._client.close()


def measured(house: House, arrivals: Arrivals, command: Sequence[str], count: int) -> list[Held]:
    """Have the watched user run a command whose `count` calls are held; approve each at once.

    The command prints, for each call, the time before it and the time after it.
    """
    child = house.start(command)
    stamps = []
    with httpx.Client(
        base_url=f"{house.centre.api_url}/api/v1", headers=Centre.auth(house.reviewer), timeout=30
    ) as client:
        for _ in range(count):
            seen, request = arrivals.next(child.pid)
            answered = time.monotonic_ns()
            body = {"answer": "approve", "reason": "measured", "digest": request["digest"]}
            response = client.post(f"/requests/{request['request']}/decision", json=body)
            assert response.status_code == 200, response.text
            stamps.append((seen, answered))
    printed, _ = child.communicate(timeout=_WAIT_S)
    house.children.remove(child)
    assert child.returncode == 0, printed
    calls = [tuple(map(int, line.split())) for line in printed.splitlines()]
    return [
        Held(visible_ns=seen - before, running_ns=after - answered)
        for (seen, answered), (before, after) in zip(stamps, calls, strict=True)
    ]


def end(house: House, children: Sequence["subprocess.Popen[bytes]"]) -> None:
    """End held processes of the watched user that nobody has answered."""
    for child in children:
        child.kill()
    for child in children:
        child.communicate()
        house.children.remove(child)

"""What one route still has to show, and when: newest state wins, order is kept. Pure.

Something new is tried as soon as the service lets us, even while an older card fails again and
again; what has failed waits longer each time. A time that the service itself asked for binds both.
"""

import random
from dataclasses import dataclass

from wire.ids import RequestId

_FIRST_S = 0.5
_LONGEST_S = 30.0
# Whatever a service says, it is asked again within the hour.
_LONGEST_WISH_S = 3600.0


@dataclass(frozen=True, slots=True)
class Item:
    """One request to show, in `version` or newer; `again` if it has failed before."""

    request: RequestId
    version: int
    again: bool


class Backlog:
    """Requests with the version that is wanted of each. Times are seconds of one steady clock."""

    def __init__(self) -> None:
        self._fresh: dict[RequestId, int] = {}
        self._again: dict[RequestId, int] = {}
        self._again_at = 0.0
        self._closed_until = 0.0
        self._failures = 0

    def __len__(self) -> int:
        return len(self._fresh) + len(self._again)

    def want(self, request: RequestId, version: int) -> None:
        """Have a request shown in this version or a newer one."""
        waiting = self._again if request in self._again else self._fresh
        waiting[request] = max(version, waiting.get(request, 0))

    def take(self, now: float) -> Item | None:
        """Take out what is to be tried now; None if nothing is due."""
        if now < self._closed_until:
            return None
        if self._again and now >= self._again_at:
            return Item(*_first(self._again), again=True)
        return Item(*_first(self._fresh), again=False) if self._fresh else None

    def due(self) -> float | None:
        """Return when `take` has something; None if nothing waits."""
        if self._fresh:
            return self._closed_until
        return max(self._closed_until, self._again_at) if self._again else None

    def __contains__(self, request: RequestId) -> bool:
        return request in self._fresh or request in self._again

    def worked(self, item: Item) -> None:
        """Say that what was taken is shown."""
        # One old card that fails for ever must not be tried after each new one that works.
        if item.again:
            self._failures = 0
            self._again_at = 0.0

    def failed(self, item: Item, now: float, wish_s: float | None) -> None:
        """Put back what was taken. `wish_s` is how long the service asked us to wait."""
        newer = self._fresh.pop(item.request, 0)
        self._again[item.request] = max(item.version, newer)
        self._failures += 1
        pause = min(_LONGEST_S, _FIRST_S * 2.0 ** min(self._failures - 1, 10))
        # Several collectors, or routes, must not come back all at once.
        self._again_at = now + pause * random.uniform(0.5, 1.0)
        if wish_s is not None:
            self._closed_until = now + min(max(wish_s, 0.0), _LONGEST_WISH_S)


def _first(waiting: dict[RequestId, int]) -> tuple[RequestId, int]:
    request = next(iter(waiting))
    return request, waiting.pop(request)

"""How often one address may try to sign in with a token. Tokens cannot be guessed; this is about
load, and about telling a mistake from an attack in the log."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable

from collector.errors import Refusal

_AT_ONCE = 10
_WINDOW_S = 60.0
_REMEMBERED = 10_000


class Attempts:
    """Counts failures per client in a window; what is remembered is bounded."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, client: str) -> None:
        """Raise Refusal while this client has failed too often."""
        failures = self._failures.get(client)
        if failures is None:
            return
        now = self._clock()
        while failures and now - failures[0] >= _WINDOW_S:
            failures.popleft()
        if len(failures) >= _AT_ONCE:
            raise Refusal(
                429,
                "too_many_attempts",
                f"{_AT_ONCE} tokens from your address were refused within a minute",
                "wait a minute, and check the token before you try again",
            )

    def failed(self, client: str) -> None:
        """Remember a failure."""
        self._failures.setdefault(client, deque(maxlen=_AT_ONCE)).append(self._clock())
        self._failures.move_to_end(client)
        while len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)

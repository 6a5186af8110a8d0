"""How many requests of one session may wait at once, and how often is told what comes beyond. Pure.

A process that causes holds in a loop must not bury its reviewers: what comes beyond is denied and
counted. It must not bury the trail or the channels either: the count is told at once, then after
pauses that double; and a notice is written at the first, the tenth, the hundredth.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from wire.ids import HoldId

FIRST_PAUSE_S = 1.0


@dataclass(slots=True)
class Tally:
    """What was denied of one session while any of its requests waited.

    `summary` is the hold by whose name it goes.
    """

    summary: HoldId
    limit: int
    denied: int = 0
    told: int = 0
    pause_s: float = FIRST_PAUSE_S

    @property
    def words(self) -> str:
        """The same for people."""
        acts = "1 further act was" if self.denied == 1 else f"{self.denied} further acts were"
        return (
            f"{self.limit} requests of this session wait, which is its limit; {acts} denied and "
            "not shown, and so is what comes until one of them is answered"
        )

    @property
    def noted(self) -> bool:
        """Whether a notice is due: 1, 10, 100 and so on."""
        return str(self.denied).strip("0") == "1"

    def tell(self) -> float:
        """Take the count as told; return after how many seconds the next one may be."""
        self.told = self.denied
        pause, self.pause_s = self.pause_s, 2 * self.pause_s
        return pause


class SessionCap:
    """Counts what is denied of each session from its limit on, as long as any of it waits."""

    def __init__(self, limit: int) -> None:
        """`limit` is how many requests of a session may wait."""
        self._limit = limit
        self._tallies: dict[str, Tally] = {}

    def admits(self, session: str, waiting: int) -> bool:
        """Return whether one more may wait; a session of which nothing waits is counted anew."""
        if not waiting:
            self._tallies.pop(session, None)
        return waiting < self._limit

    def deny(self, session: str, oldest: HoldId) -> Tally:
        """Count one that is denied; `oldest` names a new tally: the first that waits."""
        tally = self._tallies.setdefault(session, Tally(oldest, self._limit))
        tally.denied += 1
        return tally

    def get(self, session: str) -> Tally | None:
        """Return the tally of a session, if there is one."""
        return self._tallies.get(session)

    @property
    def sessions(self) -> tuple[str, ...]:
        """Those that are counted."""
        return tuple(self._tallies)

    def forget(self, sessions: Iterable[str]) -> None:
        """Count these anew."""
        for session in sessions:
            self._tallies.pop(session, None)

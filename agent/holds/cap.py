"""How many requests of one session may wait at once. Pure.

A process that causes holds in a loop must not bury its reviewers: what comes beyond is denied, and
said once, then at ten times as many, so that it cannot bury the trail either.
"""


class SessionCap:
    """Counts what was denied of each session since its waiting requests reached the limit."""

    def __init__(self, limit: int) -> None:
        """`limit` is how many requests of a session may wait."""
        self._limit = limit
        self._denied: dict[str, int] = {}

    def admits(self, session: str, waiting: int) -> bool:
        """Return whether one more may wait; a session with room again begins to count anew."""
        if waiting >= self._limit:
            return False
        self._denied.pop(session, None)
        return True

    def deny(self, session: str) -> str:
        """Count one that is denied; return what to tell of it, empty if it was told of late."""
        count = self._denied[session] = self._denied.get(session, 0) + 1
        if str(count).strip("0") != "1":
            return ""
        acts = "1 further act was" if count == 1 else f"{count} further acts were"
        return (
            f"{self._limit} requests of this session wait, which is its limit; {acts} denied and "
            "not shown, and so is what comes until one of them is answered"
        )

"""How many requests of one subject may wait at once, however many sessions it has.

A subject that causes holds in ever new sessions must not take the host's room for holds from the
others: what comes beyond is denied, and told at the first, the tenth, the hundredth.
"""

from agent.holds.machine import Machine
from agent.holds.model import Hold


class SubjectCap:
    """Counts what was denied of each subject since it has reached the limit."""

    def __init__(self, machine: Machine, limit: int) -> None:
        """`limit` is how many requests of a subject may wait."""
        self._machine = machine
        self._limit = limit
        self._denied: dict[str, int] = {}

    def admits(self, subject: str) -> bool:
        """Return whether one more may wait; a subject with room again begins to count anew."""
        if len(self._machine.waiting_of(subject)) >= self._limit:
            return False
        self._denied.pop(subject, None)
        return True

    def deny(self, subject: str) -> tuple[str, list[Hold]]:
        """Count one that is denied; return what to tell of it and the request to tell it.

        Both are empty if it was told of late.
        """
        count = self._denied[subject] = self._denied.get(subject, 0) + 1
        if str(count).strip("0") != "1":
            return "", []
        acts = "1 further act was" if count == 1 else f"{count} further acts were"
        words = (
            f"{self._limit} requests of this subject wait, which is its limit; {acts} denied and "
            "not shown, and so is what comes until one of them is answered"
        )
        return words, self._machine.waiting_of(subject)[:1]

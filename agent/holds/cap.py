"""How many requests of one session, and of one subject, may wait at once. Pure.

A process that causes holds in a loop must not bury its reviewers, and a subject with many sessions
must not take the host's room for holds from the others: what comes beyond is denied, and said once,
then at ten times as many, so that it cannot bury the trail either.
"""

from agent.holds.machine import Machine
from agent.holds.model import Hold, Limit


class Caps:
    """Both limits, over the holds of one machine."""

    def __init__(self, machine: Machine, *, per_session: int, per_subject: int) -> None:
        self._machine = machine
        self._of_session = _Cap(Limit.SESSION, per_session)
        self._of_subject = _Cap(Limit.SUBJECT, per_subject)

    def reached(self, hold: Hold) -> Limit | None:
        """Return of whom too many requests wait for a new one to wait too, None if it may."""
        of_subject = len(self._machine.waiting(subject=hold.subject))
        if not self._of_subject.admits(hold.subject, of_subject):
            return Limit.SUBJECT
        of_session = len(self._machine.waiting(session=hold.session))
        return None if self._of_session.admits(hold.session, of_session) else Limit.SESSION

    def deny(self, hold: Hold, limit: Limit) -> tuple[str, str, list[Hold]]:
        """Count one that is denied; return whose it is, what to tell, and the request to tell it.

        What to tell is empty if it was told of late.
        """
        if limit is Limit.SUBJECT:
            words = self._of_subject.deny(hold.subject)
            return repr(hold.subject), words, self._machine.waiting(subject=hold.subject)[:1]
        words = self._of_session.deny(hold.session)
        asked = self._machine.waiting(session=hold.session)[:1]
        return f"session {hold.session}", words, asked


class _Cap:
    """Counts what was denied of each session, or subject, since it has reached the limit."""

    def __init__(self, of: Limit, most: int) -> None:
        """`most` is how many requests of one of them may wait."""
        self._of = of
        self._most = most
        self._denied: dict[str, int] = {}

    def admits(self, whose: str, waiting: int) -> bool:
        """Return whether one more may wait; whoever has room again begins to count anew."""
        if waiting >= self._most:
            return False
        self._denied.pop(whose, None)
        return True

    def deny(self, whose: str) -> str:
        """Count one that is denied; return what to tell of it, empty if it was told of late."""
        count = self._denied[whose] = self._denied.get(whose, 0) + 1
        if str(count).strip("0") != "1":
            return ""
        acts = "1 further act was" if count == 1 else f"{count} further acts were"
        return (
            f"{self._most} requests of this {self._of} wait, which is its limit; {acts} denied and "
            "not shown, and so is what comes until one of them is answered"
        )

"""What Holdfast costs an open and its close, in CPU time of the process that makes them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.flood import Flooded, build, command
from tests.support.watched import NO_RULES, Watched

_SEEN = """
rules:
  - id: seen
    description: Opens the file.
    severity: info
    match: { open: { path: "{place}/file" } }
    action: observe
"""
_UNMATCHED = _SEEN.replace("{place}/file", "/holdfast-test/no/such/file")
_DRAIN = 8192
# What is compared: the rules in force, and whether the watched user opens or another.
CASES = {
    "nothing attached": (NO_RULES, True),
    "not watched": (_SEEN, False),
    "no rule matches": (_UNMATCHED, True),
    "recorded": (_SEEN, True),
}


class OpenCost:
    """The costs by case, in ns of CPU for one open and its close. Ask for the cases by turns."""

    def __init__(self, watched: Watched, opens: int) -> None:
        """`watched` has been started; each answer is the mean over so many opens."""
        self._watched = watched
        self._opens = opens
        self._file = watched.place / "file"
        self._file.touch()
        self._program = build(watched.place)

    def of(self, case: str) -> float:
        """Return what it costs in a case of CASES; fail if a record that is due was not read."""
        rules, is_watched = CASES[case]
        watched = self._watched
        watched.rules(rules)
        lost = watched.losses().events
        user = None if is_watched else watched.accounts.other.pw_uid
        child = watched.run(command(self._program, [self._file], count=self._opens), user=user)
        with self._drained() as read:
            child.tell()
            made = Flooded.read(child.line())
            assert child.end() == 0
        told = sum(read) + watched.losses().events - lost
        assert told == (self._opens if case == "recorded" else 0)
        return made.cpu_ns_each

    @contextmanager
    def _drained(self) -> Iterator[list[int]]:
        """Read the ring all the time, as an agent does; the list tells how much, at the end all."""
        read: list[int] = []
        ended = threading.Event()

        def drain() -> None:
            while not ended.wait(0.001):
                read.append(sum(one.times for one in self._watched.sensor.drain_acts(_DRAIN)))

        thread = threading.Thread(target=drain)
        thread.start()
        try:
            yield read
        finally:
            ended.set()
            thread.join()
        while acts := self._watched.sensor.drain_acts(_DRAIN):
            read.append(sum(one.times for one in acts))

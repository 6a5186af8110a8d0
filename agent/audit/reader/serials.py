"""Which events never came: the kernel numbers them without a gap, and auditd may drop some."""

from typing import Dict, Optional

# Records of one event are sent when its call ends, so numbers come a little out of order.
GRACE_S = 3.0
# A hole as large as this is a stream that began anew, not so many events that were lost.
_LARGEST = 10000000
_WRAP = 1 << 31


class Serials:
    """Takes the numbers of events as they come, and says how many are missing for good."""

    def __init__(self) -> None:
        self.highest: Optional[int] = None
        self._missing: Dict[int, float] = {}  # number -> when it was missed
        self._uncounted = 0

    def saw(self, serial: int, now: float) -> None:
        """Take the number of an event that has come; `now` is any clock of seconds."""
        if self.highest is None or self.highest - serial > _WRAP:
            self.highest = serial
            return
        if serial <= self.highest:
            self._missing.pop(serial, None)
            return
        hole = serial - self.highest - 1
        if hole > _LARGEST:
            self._missing.clear()
        elif hole > 4096:
            self._uncounted += hole
        else:
            for one in range(self.highest + 1, serial):
                self._missing[one] = now
        self.highest = serial

    def lost(self, now: float) -> int:
        """Return how many have not come in time, each counted once."""
        late = [one for one, since in self._missing.items() if now - since >= GRACE_S]
        for one in late:
            del self._missing[one]
        found, self._uncounted = self._uncounted + len(late), 0
        return found

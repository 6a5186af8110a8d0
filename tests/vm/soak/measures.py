"""How long what people do takes, by what hangs meanwhile: kept as it comes, told as a table."""

import statistics
import threading
from collections import Counter, defaultdict
from pathlib import Path

CALM = "(nothing)"
RESULTS = Path("/run/holdfast-soak-results")


class Measures:
    """Seconds by (what hangs, what was done). Filled by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = CALM
        self._found: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._within: Counter[tuple[str, str]] = Counter()

    def begin(self, hang: str) -> None:
        """Count under this name what is done from now on; one that begins with ( is of a calm."""
        with self._lock:
            self._now = hang

    @property
    def now(self) -> str:
        """What hangs now."""
        with self._lock:
            return self._now

    def add(self, began: str, act: str, seconds: float) -> None:
        """Count one that began while that hung, and ends now."""
        with self._lock:
            # One that began in a calm and ends while something hangs has met that.
            hang = began if self._now.startswith("(") else self._now
            self._found[hang, act].append(seconds)
            self._within[hang, act] += began == self._now

    def count(self, hang: str, act: str) -> int:
        """Return how many of those began and ended while that hung."""
        with self._lock:
            return self._within[hang, act]

    def table(self) -> str:
        """Return one line for each of them."""
        with self._lock:
            found = {key: sorted(times) for key, times in self._found.items() if times}
        lines = [f"  {'hangs':<18} {'act':<12} {'times':>6} {'median ms':>11} {'worst ms':>11}"]
        for (hang, act), times in found.items():
            median, worst = statistics.median(times) * 1e3, times[-1] * 1e3
            lines.append(f"  {hang:<18} {act:<12} {len(times):>6} {median:>11.1f} {worst:>11.1f}")
        return "\n".join(lines) + "\n"

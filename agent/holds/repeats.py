"""How often what is denied anew is recorded one by one, by what was denied. Pure.

A process that tries the same again and again after a denial must not bury the trail and the
centre: of each sort so many a minute are told one by one. What comes beyond is denied all the
same, counted, and told together, after pauses that double.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

MINUTE_NS = 60_000_000_000
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
# Full buckets are as good as none and are dropped first.
_MOST_SORTS = 4096


class Sort(NamedTuple):
    """What counts as the same again: of a subject, by a rule; `what` where acts are told apart."""

    subject: str
    rule: str
    what: str = ""


@dataclass(slots=True)
class _Bucket:
    left: float
    at_ns: int


class Repeats:
    """A bucket of tokens for each sort, which holds those of a minute and fills at that rate."""

    def __init__(self, per_minute: int, boot_ns: Callable[[], int]) -> None:
        """`boot_ns` is the boot clock."""
        self._limit = per_minute
        self._boot_ns = boot_ns
        self._buckets: dict[Sort, _Bucket] = {}

    def take(self, sort: Sort) -> bool:
        """Take a token; False if there is none left."""
        bucket = self._filled(sort)
        if bucket.left < 1:
            return False
        bucket.left -= 1
        return True

    def is_empty(self, sort: Sort) -> bool:
        """Return whether there is no token left; takes none."""
        return sort in self._buckets and self._filled(sort).left < 1

    def _filled(self, sort: Sort) -> _Bucket:
        now = self._boot_ns()
        bucket = self._buckets.get(sort)
        if bucket is None:
            self._prune(now)
            bucket = self._buckets[sort] = _Bucket(float(self._limit), now)
        bucket.left = self._left(bucket, now)
        bucket.at_ns = now
        return bucket

    def _left(self, bucket: _Bucket, now: int) -> float:
        return min(self._limit, bucket.left + (now - bucket.at_ns) * self._limit / MINUTE_NS)

    def _prune(self, now: int) -> None:
        if len(self._buckets) < _MOST_SORTS:
            return
        kept = {s: b for s, b in self._buckets.items() if self._left(b, now) < self._limit}
        while len(kept) >= _MOST_SORTS:
            kept.pop(next(iter(kept)))
        self._buckets = kept

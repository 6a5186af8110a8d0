"""Few large segments from many small ones: which are due, and how they become one."""

from collections.abc import Sequence

from collector.trail.segments import files
from collector.trail.segments.segment import Segment
from collector.trail.segments.shelf import Shelf
from collector.trail.segments.spill import write_segment

# A merge holds its rows in memory: 400 bytes each at most.
FULL = 500_000
# So many of one level are one of the next: each row is merged a handful of times in all.
TOGETHER = 8
HOUR_NS = 3600 * 10**9


def due(segments: Sequence[Segment], now_ns: int) -> tuple[Segment, ...]:
    """Return segments that should become one now, oldest first; none if it is not time."""
    small = [one for one in segments if one.missing_ns is None and one.rows < FULL // 2]
    for level in sorted({one.level for one in small}):
        found = sorted((one for one in small if one.level == level), key=lambda one: one.made_ns)
        old = level == 0 and now_ns - found[0].made_ns >= HOUR_NS
        if len(found) < TOGETHER and sum(one.rows for one in found) < FULL and not old:
            continue
        taken: list[Segment] = []
        for one in found:
            if len(taken) > 1 and sum(t.rows for t in taken) + one.rows > FULL:
                break
            taken.append(one)
        if len(taken) > 1:
            return tuple(taken)
    return ()


def merge(shelf: Shelf, found: Sequence[Segment]) -> Segment:
    """Write the rows of segments into a new one; raise OSError or ArrowException."""
    parts = [files.read(shelf.directory / one.file) for one in found]
    return write_segment(shelf.directory, parts, level=max(one.level for one in found) + 1)

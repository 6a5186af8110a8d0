"""Cuts a stretch of time into slices of events that are few enough to be sorted in memory."""

from collections.abc import Callable, Iterator, Sequence

MOST_EVENTS = 200_000
_SECOND = 10**9
# From coarse to fine; what is in one second stays together.
_STEPS = (3600 * _SECOND, 60 * _SECOND, _SECOND)

Span = tuple[int, int]  # nanoseconds since the epoch; the end is not part of it
# Neighbouring steps of time that have some `most` events together: the first, the last, and how
# many events they have.
Group = tuple[int, int, int]
Count = Callable[[int, Span, int], Sequence[Group]]


def slices(count: Count, span: Span, *, most: int = MOST_EVENTS) -> Iterator[Span]:
    """Yield spans that cover every event of `span`, in order; what has no events may be left out.

    `count(step, span, most)` groups the steps in `span` that have events, in order; a step is a
    time // step.
    """
    yield from _cut(count, span, _STEPS, most)


def _cut(count: Count, span: Span, steps: tuple[int, ...], most: int) -> Iterator[Span]:
    step, *finer = steps
    for first, last, events in count(step, span, most):
        inside = max(first * step, span[0]), min((last + 1) * step, span[1])
        if events > 2 * most and finer:
            yield from _cut(count, inside, tuple(finer), most)
        else:
            yield inside

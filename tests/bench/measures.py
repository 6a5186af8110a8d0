"""Numbers of repeated measurements: their median and spread, and in which order to take them."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))


@dataclass(frozen=True, slots=True)
class Spread:
    """What several measurements of one thing came to, in the unit that they were in."""

    median: float
    low: float  # first quartile
    high: float  # third quartile
    least: float
    most: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """Return median, quartiles and extremes of one measurement or more."""
    if not values:
        raise ValueError("nothing was measured")
    if len(values) == 1:
        only = float(values[0])
        return Spread(only, only, only, only, only, 1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high, min(values), max(values), len(values))


def percentile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that at least `part` (0 to 1) of all values do not exceed."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    position = -(-part * len(ordered) // 1)
    return float(ordered[max(int(position), 1) - 1])


def interleaved(rounds: int, things: Sequence[T]) -> Iterator[T]:
    """Yield each thing once a round, each round beginning with another one.

    What changes with time on the machine is then shared out among all.
    """
    for number in range(rounds):
        first = number % len(things)
        yield from (*things[first:], *things[:first])


def time_text(ns: float) -> str:
    """Return nanoseconds as a person reads them: three digits and a unit."""
    size, unit = _unit(ns)
    return f"{digits(ns / size)} {unit}"


def _unit(ns: float) -> tuple[float, str]:
    return next((one for one in _UNITS if abs(ns) >= one[0]), _UNITS[-1])


def digits(value: float) -> str:
    """Return a number with about three digits that say something."""
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread_text(one: Spread, *, unit: str = "") -> str:
    """Return "median unit (first quartile to third)"; times in ns if no unit is given."""
    size, name = (1.0, unit) if unit else _unit(one.median)
    median, low, high = (digits(value / size) for value in (one.median, one.low, one.high))
    return f"{median} {name} ({low} to {high})"


def change_text(one: float, base: float) -> str:
    """Return how much more than the base it is: "+3.1 %"."""
    percent = (one / base - 1) * 100
    return f"{percent:+.1f} %" if abs(percent) < 100 else f"{one / base:.1f} times"

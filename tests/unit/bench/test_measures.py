"""The bench's own arithmetic: a wrong median would be published."""

import pytest

from tests.bench.measures import (
    change_text,
    digits,
    interleaved,
    percentile,
    spread,
    spread_text,
    time_text,
)


def test_a_spread_names_median_quartiles_and_extremes() -> None:
    """Five values whose quartiles are among them, in any order."""
    found = spread([50, 10, 30, 20, 40])
    assert (found.median, found.low, found.high) == (30, 20, 40)
    assert (found.least, found.most, found.count) == (10, 50, 5)


def test_a_single_measurement_is_its_own_spread() -> None:
    """A run of one round still has a table."""
    found = spread([7])
    assert (found.low, found.median, found.high, found.count) == (7, 7, 7, 1)


@pytest.mark.parametrize("measure", [spread, lambda values: percentile(values, 0.5)])
def test_nothing_measured_is_an_error_and_not_a_zero(measure: object) -> None:
    """An empty list never becomes a figure."""
    assert callable(measure)
    with pytest.raises(ValueError, match="nothing was measured"):
        measure([])


@pytest.mark.parametrize(("part", "expected"), [(0.5, 50), (0.99, 99), (1, 100), (0.001, 1)])
def test_a_percentile_is_a_value_that_was_measured(part: float, expected: float) -> None:
    """The least value that this part of all do not exceed."""
    assert percentile(list(range(100, 0, -1)), part) == expected


def test_interleaving_gives_everything_its_turn_at_being_first() -> None:
    """Each thing once a round, and each first in its turn."""
    order = list(interleaved(3, "abc"))
    assert order == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]


@pytest.mark.parametrize(
    ("ns", "expected"),
    [(0, "0 ns"), (90.04, "90.0 ns"), (1234, "1.23 µs"), (45.6e6, "45.6 ms"), (3.1e9, "3.10 s")],
)
def test_a_time_has_a_unit_and_three_digits(ns: float, expected: str) -> None:
    """Nobody has to count zeros."""
    assert time_text(ns) == expected


def test_numbers_and_changes_read_as_people_write_them() -> None:
    """Large numbers have commas; large changes are multiples."""
    assert (digits(1234567), digits(12.34), digits(0.5)) == ("1,234,567", "12.3", "0.50")
    assert (change_text(103, 100), change_text(98, 100)) == ("+3.0 %", "-2.0 %")
    assert change_text(550, 100) == "5.5 times"
    assert spread_text(spread([2, 2, 2]), unit="s") == "2.00 s (2.00 to 2.00)"
    assert spread_text(spread([900, 1e3, 2e6])) == "1.00 µs (0.95 to 1,000)"

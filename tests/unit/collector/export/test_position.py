"""The place of an export: which numbers have been taken, whatever their order; kept on disk."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import StateError
from collector.export.position import SLACK_NS, Positions, uncovered

RANGES = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 8)).map(lambda one: (one[0], one[0] + one[1])),
    max_size=12,
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "exports.sqlite3"


def _positions(place: Path) -> Positions:
    made = Positions(place)
    if not made.known("siem"):
        made.begin("siem", {}, {})
    return made


@given(RANGES, RANGES)
def test_what_was_taken_is_never_sent_and_the_rest_is(
    taken: list[tuple[int, int]], batches: list[tuple[int, int]]
) -> None:
    """As sets of numbers; what is joined on disk is the same set."""
    place = Positions(Path(":memory:"))
    place.begin("siem", {}, {})
    for first, last in taken:
        sent = place.plan("siem", "events", 1, host="h", first=first, last=last)
        place.done("siem", sent)
    kept = place.taken("siem").get("h", [])
    place.close()
    have = {number for first, last in taken for number in range(first, last + 1)}
    assert {number for first, last in kept for number in range(first, last + 1)} == have
    assert all(one[1] + 1 < other[0] for one, other in pairwise(kept))
    for first, last in batches:
        found = uncovered([("h", first, last)], {"h": kept})
        numbers = [number for _, low, high in found for number in range(low, high + 1)]
        assert numbers == [number for number in range(first, last + 1) if number not in have]


def test_what_was_about_to_be_sent_outlives_the_process(place: Path) -> None:
    """With its id, its numbers and its records."""
    positions = _positions(place)
    planned = positions.plan("siem", "holds", 2, ids={"holds/a": 5, "holds/b": 7})
    positions.close()
    positions = _positions(place)
    assert positions.sending("siem") == planned
    assert (planned.number, positions.number("siem")) == (1, 0)
    positions.done("siem", planned)
    assert positions.sending("siem") is None and positions.number("siem") == 2
    assert positions.seen("siem", "holds") == (7, frozenset({"holds/a", "holds/b"}))
    assert positions.plan("siem", "holds", 1, ids={"holds/c": 8}).number == 3
    positions.close()


def test_only_what_was_received_lately_is_kept_by_name(place: Path) -> None:
    """So the file does not grow with the trail."""
    positions = _positions(place)
    for record, received_ns in (("old", 1), ("new", SLACK_NS + 2)):
        sent = positions.plan("siem", "votes", 1, ids={record: received_ns})
        positions.done("siem", sent)
    assert positions.seen("siem", "votes") == (SLACK_NS + 2, frozenset({"new"}))
    positions.close()


def test_exports_do_not_share_a_place(place: Path) -> None:
    """Each has its own numbers."""
    one, other = _positions(place), Positions(place)
    other.begin("lake", {"h": 5}, {})
    one.done("siem", one.plan("siem", "events", 3, host="h", first=1, last=3))
    assert other.taken("lake") == {"h": [(1, 5)]} and other.number("lake") == 0
    assert one.taken("siem") == {"h": [(1, 3)]}
    one.close()
    other.close()


def test_the_file_is_for_nobody_else(place: Path) -> None:
    """It names records of the trail."""
    _positions(place).close()
    assert place.stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_says_what_to_do(place: Path) -> None:
    """With its name."""
    place.write_bytes(b"x" * 5000)
    with pytest.raises(StateError, match="move it away"):
        Positions(place)

"""A short flood of observed acts beside held ones; tests/soak has the long one."""

from pathlib import Path

import pytest

from tests.support.flooding import flooded_house

pytestmark = pytest.mark.end_to_end


def test_a_flood_is_accounted_for_to_the_last_and_holds_stay_answerable(tmp_path: Path) -> None:
    """Opens made are opens in the trail and in its gaps, and ten holds wait and are answered."""
    with flooded_house(tmp_path) as flood:
        outcome = flood.run(seconds=6, rate=50_000)
    print(outcome)
    assert outcome.delivered + outcome.lost == outcome.flooded.acts
    assert (outcome.lost_otherwise, outcome.broken) == (0, 0)

"""A minute of acts, as fast as they go, with ten others held meanwhile.

Opens come from all processors at once, connects from one process: it makes more of them.

Prints what it saw; run it with -s to read that. Asserted is only what must hold on any machine.
"""

import os
from pathlib import Path

import pytest

from tests.support.flooding import flooded_house

pytestmark = pytest.mark.end_to_end

_SECONDS = 60
# Not aims, but what a leak of one byte an event would go far beyond.
_AGENT_MOST_KB, _COLLECTOR_MOST_KB = 100_000, 1_500_000


@pytest.mark.parametrize(("act", "processes"), [("open", os.cpu_count() or 1), ("connect", 1)])
def test_a_flood_of_a_minute_is_accounted_for_and_holds_stay_answerable(
    tmp_path: Path, act: str, processes: int
) -> None:
    """Acts made are acts in the trail and in its gaps; memory is bounded; holds are answered."""
    with flooded_house(tmp_path, act=act) as flood:
        outcome = flood.run(seconds=_SECONDS, processes=processes)
    print(outcome)
    assert outcome.delivered + outcome.lost == outcome.flooded.acts
    assert (outcome.lost_otherwise, outcome.broken) == (0, 0)
    assert outcome.agent_peak_kb < _AGENT_MOST_KB
    assert outcome.collector_peak_kb < _COLLECTOR_MOST_KB

"""kill -9 of the collector inside and around its commits and answers, and a restart.

The agent and its holds live on meanwhile; one host and one trail go through all tests of this file.
"""

from collections.abc import Iterator

import pytest

from tests.faults.test_agent_killed import all_kinds, check_ends, check_trail
from tests.support.faulty_site import Site
from tests.support.mortal_agent import MortalAgent
from tests.support.mortal_collector import POINTS

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def agent(place: Site) -> Iterator[MortalAgent]:
    """One agent, which nobody kills."""
    started = place.start()
    assert started.ready()
    yield started
    assert not started.dead()


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_this_point_changes_nothing(place: Site, agent: MortalAgent, point: str) -> None:
    """Every act ends as it was answered: nothing is lost, nothing doubled, nobody asked twice."""
    place.centre.stop_collector()
    dying = place.start_dying_collector(point)
    actors = all_kinds(place)
    agent.events(1, 10, 100)
    dying.wait_for("dying")
    assert dying.process.wait() == -9
    place.centre.start_collector()
    place.follow_again()
    check_ends(place, actors)
    check_trail(place)


def test_no_event_is_lost_or_doubled(place: Site, agent: MortalAgent) -> None:
    """After all those kills the trail has each event once, numbered without a hole."""
    wanted = [[agent.generated(), 1, agent.generated()]]
    place.sql_until(wanted, "SELECT count(*), min(number), max(number) FROM events")
    assert place.sql("SELECT * FROM gaps") == []
    assert place.sql("SELECT * FROM rejected WHERE stream <> 'HF_HOLDS'") == []

"""kill -9 of the collector between an approval for a time and its grant; the hold ends meanwhile.

What was approved is later acts, so they pass all the same, for the time that was said.
"""

import itertools

import httpx
import pytest

from tests.support.actors import Actor
from tests.support.centre import Centre
from tests.support.faulty_site import WAIT_S, Site
from tests.support.mortal_agent import MortalAgent

pytestmark = pytest.mark.faults

# Until the decision is acknowledged, which is after its grant.
POINTS = (
    "after the decision is stored",
    "before the verdict is stored",
    "before the grant is stored",
    "after the grant is stored",
    "before the commit of votes",
    "after the commit of votes",
    "before the commit of decisions",
    "after the commit of decisions",
    "before the acknowledgement of HF_DECISIONS",
)
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def agent(place: Site) -> MortalAgent:
    """One agent, which nobody kills."""
    started = place.start()
    assert started.ready()
    return started


def approves(place: Site, request: str, digest: str) -> None:
    """Approve for ten minutes and two acts; the collector dies over the answer, or later."""
    terms = {"minutes": 10, "uses": 2, "scope": "subject"}
    body = {"answer": "approve", "reason": "a test", "digest": digest, "grant": terms}
    try:
        httpx.post(
            f"{place.centre.api_url}/api/v1/requests/{request}/decision",
            headers=Centre.auth(place.token),
            json=body,
            timeout=30,
        )
    except httpx.TransportError as error:
        print(f"nobody has answered: {error!r}")


def ends(place: Site, asker: Actor) -> None:
    """End a held process by itself, and have its host say so while no collector runs."""
    asker.kill()
    asker.end(WAIT_S)


@pytest.mark.parametrize("point", POINTS)
def test_a_grant_comes_into_being_though_the_hold_is_over(
    place: Site, agent: MortalAgent, point: str
) -> None:
    """Once; the next act is let go by it, and nobody is asked."""
    place.centre.stop_collector()
    dying = place.start_dying_collector(point)
    path = f"grant/{next(_numbers)}"
    asker = place.act(path)
    request = place.request_of(asker, path)
    approves(place, request["request"], request["digest"])
    dying.wait_for("dying")
    assert dying.process.wait() == -9
    ends(place, asker)
    place.centre.start_collector()
    place.follow_again()
    decided = f"SELECT minutes, uses FROM grants_not_made WHERE request = '{request['request']}'"  # noqa: S608
    made = f"SELECT uses, via FROM grants WHERE request = '{request['request']}'"  # noqa: S608
    place.sql_until([[2, "api"]], made)
    assert place.sql(decided) == []
    user = place.act(path)
    assert user.end(WAIT_S) == 0
    place.over(user, path)
    assert place.sql(f"SELECT count(*) FROM comments WHERE request = '{request['request']}'") == [  # noqa: S608
        [0]
    ]

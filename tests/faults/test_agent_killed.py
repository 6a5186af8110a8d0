"""kill -9 of the agent at every step that it journals, signals or acknowledges, and a restart.

One host lives through all tests of this file, so its trail must be whole over all of its agents.
"""

import pytest

from tests.support.actors import Actor
from tests.support.faulty_site import WAIT_S, Site
from tests.support.house import Request
from tests.support.mortal_agent import ANY, STEPS, MortalAgent

pytestmark = pytest.mark.faults

# What a hold's path says must become of it, as the trail has to tell it.
ENDS = {
    "approve": "approved, released",
    "deny": "denied, killed",
    "short": "expired, killed",
    "die": "cancelled",
}
# A scenario comes to some steps more often; the third time is like the second.
_MOST = 2
_ACTS = (
    ("approve/one", "approve/two"),
    ("deny/one",),
    ("short/one",),
    ("die/one",),
    ("never/one",),
    ("quiet/one",),
)


@pytest.fixture(scope="module")
def _first(place: Site) -> MortalAgent:
    agent = place.start()
    assert agent.ready()
    return agent


@pytest.fixture
def agent(place: Site, _first: MortalAgent) -> MortalAgent:
    """The agent that runs at the time."""
    newest = place.newest
    if newest.dead():
        newest = place.start()
        assert newest.ready()
    return newest


def all_kinds(place: Site) -> list[Actor]:
    """Have processes whose acts end in every way that there is.

    One is stopped by nobody but the agent, as one whose stop a SIGCONT has taken back.
    """
    return [place.act(*paths, stops=paths[0] != "die/one") for paths in _ACTS]


def check_ends(place: Site, actors: list[Actor]) -> None:
    """See each process end as its path says, having run what was let go and nothing else."""
    for actor in actors:
        kind = actor.kind
        lives = kind in ("approve", "quiet")
        assert actor.end(WAIT_S) == (0 if lives else 9), actor.paths
        assert actor.ran == (actor.paths if lives else ()), actor.paths
        if kind in ENDS:
            for path in actor.paths:
                place.over(actor, path.removeprefix("/faults/"))


def check_trail(place: Site) -> None:
    """See that the trail tells of each act once, and of each of its states once."""
    for twice in (
        "SELECT pid, path FROM holds GROUP BY ALL HAVING count(*) > 1",
        "SELECT hold, sequence FROM hold_states GROUP BY ALL HAVING count(*) > 1",
        "SELECT request FROM votes GROUP BY ALL HAVING count(*) > 1",
        "SELECT request FROM decisions GROUP BY ALL HAVING count(*) > 1",
        "SELECT request FROM releases WHERE NOT explained",
        "SELECT * FROM chain_breaks",
    ):
        assert place.sql(twice) == [], twice
    told = place.sql(
        "SELECT DISTINCT split_part(h.path, '/', 3) AS kind, s.told FROM holds h JOIN ("
        " SELECT hold, string_agg(state, ', ' ORDER BY sequence) AS told FROM hold_states"
        " GROUP BY hold) s USING (hold) ORDER BY ALL"
    )
    assert told == sorted([kind, said] for kind, said in ENDS.items())


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_this_step_changes_nothing(place: Site, agent: MortalAgent, step: str) -> None:
    """Who was held has not run, the next agent goes on, and every act ends as it was answered."""
    for count in range(1, _MOST + 1):
        agent.arm(step, count)
        actors = all_kinds(place)
        if not agent.dies_before_the_end_of(actors):
            assert count > 1, f"the agent never came to {step!r}"
            check_ends(place, actors)
            agent.arm("", 0)
            return
        held = [one for one in actors if one.kind not in ("approve", "quiet")]
        assert [one.ran for one in held] == [()] * len(held)
        agent = place.start()
        assert agent.ready()
        check_ends(place, actors)


def test_an_agent_that_is_killed_again_and_again_gets_there(
    place: Site, agent: MortalAgent
) -> None:
    """Each life is a step longer than the one before, whatever step that is."""
    agent.kill()
    actors = all_kinds(place)
    lives = 1
    while place.start(die_at=ANY, count=lives).dies_before_the_end_of(actors):
        lives += 1
    assert lives > len(actors)
    check_ends(place, actors)
    place.newest.arm("", 0)


def test_an_answer_given_while_no_agent_runs_takes_effect(place: Site, agent: MortalAgent) -> None:
    """Until the next agent nothing has run; then the one runs on and the other dies."""
    place.reviewer.pause()
    actors = [place.act("approve/one"), place.act("deny/one")]
    for actor in actors:
        place.request_of(actor, actor.paths[0].removeprefix("/faults/"))
    agent.kill()
    place.reviewer.resume()
    for actor in actors:
        place.reviewer.wait(lambda one, pid=actor.pid: is_decided(one, pid))  # type: ignore[misc]
    assert [actor.ran for actor in actors] == [(), ()]
    assert place.start().ready()
    check_ends(place, actors)


def is_decided(request: Request, pid: int) -> bool:
    """Return whether a process's request has an answer."""
    return bool(request["act"]["process"]["pid"] == pid and request["state"] != "open")


def test_the_trail_tells_of_every_act_once(place: Site, agent: MortalAgent) -> None:
    """After all those kills: one request for an act, one vote and decision, no state twice."""
    check_ends(place, all_kinds(place))
    check_trail(place)

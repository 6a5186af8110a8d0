"""What is pinned outlives the agent: it goes on holding, and the next agent takes it up."""

import signal
import sys
from pathlib import Path

import pytest

from tests.support.loading import program_ids
from tests.support.sensors import environment
from tests.support.started import signal_process
from tests.support.tiny_elf import write_creator
from tests.support.watched import PINS, Watched

pytestmark = pytest.mark.kernel

CHECKOUT = Path(__file__).resolve().parents[2]
RULES = """
rules:
  - id: tiny
    description: A program.
    severity: high
    match: { exec: { path: tiny } }
    action: ask
"""


@pytest.fixture
def made(watched: Watched) -> Path:
    """Where the tiny program puts its file."""
    watched.rules(RULES)
    write_creator(watched.place / "tiny", watched.place / "made")
    return watched.place / "made"


def test_what_an_agent_left_behind_goes_on_holding_and_is_taken_up(
    watched: Watched, made: Path
) -> None:
    """The agent is killed outright; an exec after that is held, and its facts wait in the map."""
    before = program_ids(PINS)
    watched.stop()
    people = watched.accounts
    agent = watched.run(
        [
            sys.executable,
            "-m",
            "tests.support.agent_process",
            str(PINS),
            str(people.watched.pw_uid),
            str(people.group.gr_gid),
            str(watched.place / "rules.yaml"),
        ],
        user=0,
        group=0,
        cwd=CHECKOUT,
        env=environment(),
    )
    assert agent.line() == "started"
    signal_process(agent.pid, signal.SIGKILL)
    assert agent.end() == -signal.SIGKILL
    child = watched.run([watched.place / "tiny", "an argument", ""])
    child.wait_stopped()
    assert not made.exists()
    watched.start()
    assert program_ids(PINS) == before  # nothing was loaded again
    (held,) = watched.holds()
    assert held.act.process.pid == child.pid
    assert held.act.argv == (str(watched.place / "tiny"), "an argument", "")
    assert (held.act.executable, held.act.cwd) == (str(watched.place / "tiny"), str(watched.place))
    assert held.act.environment == {"PATH": "/usr/bin:/bin"}
    assert held.act.subject == "ai"
    # What the map has given is not given once more by the ring.
    assert watched.sensor.new_holds() == []
    watched.let_go(held, child)
    assert child.end() == 0
    assert made.exists()
    # And the new agent is told of what comes next.
    assert watched.next_hold(watched.run([watched.place / "tiny"])).act.argv


def test_a_hold_that_was_forgotten_does_not_come_back(watched: Watched, made: Path) -> None:
    """The map is the truth: what is not in it is over, for the next agent too."""
    child = watched.run([watched.place / "tiny"])
    held = watched.next_hold(child)
    watched.let_go(held, child)
    child.end()
    watched.again()
    assert watched.holds() == []

"""The real kernel side, and an agent that is killed at random moments while holds come and end."""

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.house import House, Request, house, place_for_all

pytestmark = pytest.mark.faults

_ROUNDS = 6
_LONGEST_LIFE_S = 1.5
_KINDS = ("approve", "deny", "short", "wait")


def rules(place: Path) -> str:
    """Return rules that ask about each kind of program, and hold one kind for a moment only."""
    asked = "\n".join(
        f"""
  - id: random.{kind}
    description: Runs a program of this test.
    severity: high
    match: {{exec: {{path: {place}/{kind}}}}}
    action: ask
    timeout: {"1s" if kind == "short" else "10m"}"""
        for kind in _KINDS
    )
    return f"rules:{asked}\n"


@pytest.fixture
def home() -> Iterator[House]:
    """A Holdfast with a program of each kind, whose only act is to leave a line of its own."""
    with place_for_all() as place:
        for kind in _KINDS:
            program = place / kind
            program.write_text(f"#!/bin/sh\necho $1 >> {place}/out/{kind}\n")
            program.chmod(0o755)
        with house(place, rules(place)) as built:
            (place / "out").mkdir()
            os.chown(place / "out", built.user.pw_uid, built.user.pw_gid)
            yield built


def ran(home: House, kind: str) -> list[str]:
    """Return the arguments of every run of a program that was let go, in order."""
    try:
        return (home.directory / "out" / kind).read_text().split()
    except FileNotFoundError:
        return []


def decide(home: House, request: Request, answer: str) -> None:
    """Answer, whether or not an agent runs."""
    response = home.call(
        "POST",
        f"/requests/{request['request']}/decision",
        body={"answer": answer, "reason": "a test", "digest": request["digest"]},
    )
    assert response.status_code == 200, response.text


def request_about(home: House, child: "subprocess.Popen[bytes]") -> Request:
    """Wait for the one request about a process, whatever has become of it."""
    return home.watcher.wait(lambda one: one["act"]["process"]["pid"] == child.pid)


def test_kills_at_random_moments_let_nothing_go(home: House) -> None:
    """What was answered happens once, what was not answered never runs, nobody is asked twice."""
    seed = int(os.environ.get("HOLDFAST_TEST_SEED", "0")) or random.SystemRandom().getrandbits(32)
    print(f"HOLDFAST_TEST_SEED={seed}")
    dice = random.Random(seed)
    children: dict[str, list[subprocess.Popen[bytes]]] = {kind: [] for kind in _KINDS}
    for number in range(_ROUNDS):
        for kind in dice.sample(_KINDS, len(_KINDS)):
            child = home.start([str(home.directory / kind), str(number)])
            children[kind].append(child)
        assert home.agent is not None
        # A random moment is what this is about.
        time.sleep(dice.uniform(0, _LONGEST_LIFE_S))
        kill_agent(home)
        assert ran(home, "deny") + ran(home, "short") + ran(home, "wait") == []
        home.start_agent()
        for kind in ("approve", "deny"):
            decide(home, request_about(home, children[kind][-1]), kind)
    for child in children["approve"]:
        assert child.wait(60) == 0
    for child in (*children["deny"], *children["short"]):
        assert child.wait(60) == -9
    assert sorted(ran(home, "approve")) == sorted(str(number) for number in range(_ROUNDS))
    assert ran(home, "deny") + ran(home, "short") + ran(home, "wait") == []
    check_trail(home, children)


def kill_agent(home: House) -> None:
    """Kill -9 the agent and wait for its end."""
    assert home.agent is not None
    child, home.agent = home.agent, None
    child.process.kill()
    assert child.stop() == -9


def check_trail(home: House, children: "dict[str, list[subprocess.Popen[bytes]]]") -> None:
    """See that each act has one request that ended as it was answered, or waits still."""
    ends = {
        "approve": ("approved", "released", "decision"),
        "deny": ("denied", "killed", "decision"),
        "short": ("expired", "killed", "timeout_policy"),
    }
    for kind, end in ends.items():
        for child in children[kind]:
            done = home.settled(request_about(home, child))
            assert (done["state"], done["outcome"], done["ground"]) == end
    pids = [child.pid for each in children.values() for child in each]
    counted = home.sql("SELECT pid, count(*) FROM holds GROUP BY pid ORDER BY pid")
    assert counted == [[pid, 1] for pid in sorted(pids)]
    for child in children["wait"]:
        assert request_about(home, child)["state"] == "open"
    assert home.sql("SELECT * FROM releases WHERE NOT explained") == []
    assert home.sql("SELECT * FROM chain_breaks") == []

"""kill -9 of the agent at every step of a grant and of a quarantine, and a restart."""

import itertools
import time

import pytest

from agent import procfs
from tests.support.children import Child, child
from tests.support.faulty_site import WAIT_S, Site
from tests.support.file_sensor import LABELS
from tests.support.mortal_agent import (
    GRANT_STEPS,
    LIFT_STEPS,
    QUARANTINE_STEPS,
    USE_STEPS,
    MortalAgent,
)

pytestmark = pytest.mark.faults

_numbers = itertools.count(1)


def fresh(place: Site) -> MortalAgent:
    """Return an agent that runs."""
    made = place.start()
    assert made.ready()
    return made


@pytest.mark.parametrize("step", [*GRANT_STEPS, *USE_STEPS])
def test_a_grant_of_one_use_lets_one_act_pass_whenever_the_agent_dies(
    place: Site, step: str
) -> None:
    """Neither is it lost, nor does it count twice: the next is let go, and the one after asked."""
    agent = fresh(place)
    path = f"grant/{next(_numbers)}"
    asker = place.act(path)
    request = place.request_of(asker, path)
    if step in GRANT_STEPS:
        agent.arm(step, 1)
    body = {"answer": "approve", "reason": "a test", "digest": request["digest"]}
    terms = {"minutes": 10, "uses": 1, "scope": "subject"}
    grant = place.post(f"/requests/{request['request']}/decision", body | {"grant": terms})
    if step in GRANT_STEPS:
        agent.died()
        agent = fresh(place)
    assert asker.end(WAIT_S) == 0
    while step in USE_STEPS and not agent.steps()["order acknowledged"]:
        time.sleep(0.01)
    if step in USE_STEPS:
        agent.arm(step, 1)
    user = place.act(path)
    if step in USE_STEPS:
        agent.died()
        agent = fresh(place)
    assert user.end(WAIT_S) == 0
    place.over(user, path)
    last = place.act(path)
    place.request_of(last, path)
    assert last.ran == ()
    effects = "SELECT order_id, count(*) FROM order_effects GROUP BY ALL"
    assert [grant["granted"]["grant"], 1] in place.sql(effects)
    last.kill()
    agent.stop()


def is_stopped(one: Child) -> bool:
    """Return whether a process neither runs nor may."""
    cgroup = procfs.cgroup(one.pid) or ""
    return one.stopped() or "-held-" in cgroup


def until(one: Child, *, stopped: bool) -> None:
    """Wait until a process is stopped, or runs."""
    end = time.monotonic() + WAIT_S
    while is_stopped(one) is not stopped:
        assert time.monotonic() < end, f"it is {one.state()}"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("step", "lift_step"),
    [*((step, "") for step in QUARANTINE_STEPS), *(("", step) for step in LIFT_STEPS)],
)
def test_a_quarantine_stops_and_its_end_lets_go_whenever_the_agent_dies(
    place: Site, step: str, lift_step: str
) -> None:
    """What waits dies, a bystander stops, and when it is lifted it runs on."""
    agent = fresh(place)
    path = f"wait/{next(_numbers)}"
    with child() as bystander:
        (place.held / LABELS).write_text(f"{bystander.pid} {bystander.start_ns}\n")
        waiter = place.act(path)
        place.request_of(waiter, path)
        agent.arm(step, 1)
        body = {"subject": "ai-worker", "host": "web-1", "reason": "a test"}
        made = place.post("/quarantines", body)
        if step:
            agent.died()
            agent = fresh(place)
        assert waiter.end(WAIT_S) == 9
        assert waiter.ran == ()
        assert place.over(waiter, path)["state"] == "superseded"
        until(bystander, stopped=True)
        agent.arm(lift_step, 1)
        place.post(f"/quarantines/{made['quarantine']}/lift", {"reason": "a test"})
        if lift_step:
            agent.died()
            agent = fresh(place)
        until(bystander, stopped=False)
        agent.stop()
    (place.held / LABELS).unlink()

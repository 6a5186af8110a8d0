"""While something hangs and the gate is loaded, only subjects wait, and afterwards all goes on."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.support.started import state
from tests.vm.soak.hangs import HANGS, Hang
from tests.vm.soak.measures import CALM, Measures
from tests.vm.soak.others import ACTS, LOGIN, Others
from tests.vm.soak.site import AGENT, COLLECTOR, NATS, SECRETS, Site, run

pytestmark = pytest.mark.timeout(1800)

# How long each hangs, at least; the test outside writes it.
_SECONDS_FILE = Path("/run/holdfast-soak-seconds")
SECONDS = float(_SECONDS_FILE.read_text()) if _SECONDS_FILE.exists() else 20.0
_SEEN = 50
_ASKED = f"print(open('{SECRETS}/asked').read(), flush=True)"
_WATCHED = f"""
for _ in range({_SEEN}):
    open('{SECRETS}/seen').close()
print('done', flush=True)
"""


def held(site: Site) -> "subprocess.Popen[str]":
    """Start a process of the subject that asks for a secret, and wait until it is held."""
    child = site.start(_ASKED)
    end = time.monotonic() + 120
    while state(child.pid) != "T":
        assert child.poll() is None, f"it was not held: {child.communicate()[0]}"
        assert time.monotonic() < end, "it is not held"
        time.sleep(0.05)
    return child


def seen(site: Site) -> int:
    """Return how many of the acts that are only watched are in the trail."""
    ((count,),) = site.sql(
        """SELECT coalesce(sum("count"), 0)::BIGINT FROM events WHERE rule = 'soak.seen'"""
    )
    return int(count)


def test_the_machine_is_prepared(prepared: None) -> None:
    """First, so that what takes its time is told step by step."""
    assert run("systemctl", "is-active", "ssh").strip() == "active"


def test_the_units_of_the_centre_start(centre: None) -> None:
    """With all that their units take from them."""
    assert run("systemctl", "is-active", COLLECTOR, NATS).split() == ["active"] * 2


def test_the_unit_of_the_agent_starts_in_gate_mode(built: Site) -> None:
    """With the capabilities that its unit leaves it."""
    assert run("holdfast-agent", "status").splitlines()[0].endswith("mode gate")


def test_a_subject_is_held_and_others_work(built: Site, plain: Others) -> None:
    """This is how long things take when nothing hangs."""
    child = held(built)
    plain.wait_for(CALM, ACTS)
    built.approve(child.pid)
    assert child.communicate(timeout=120)[0] == "asked\n"


def test_whoever_asks_is_answered_while_nothing_hangs(built: Site) -> None:
    """So that whoever is not answered shows that something hangs."""
    asked = {hang.name: hang.ask() for hang in HANGS}
    assert {name: one.wait(timeout=120) for name, one in asked.items()} == dict.fromkeys(asked, 0)


def test_it_is_noticed_when_others_wait(plain: Others, measures: Measures) -> None:
    """So that they are known not to wait when that is what is found."""
    name = "(others stopped)"
    with plain.stopped():
        measures.begin(name)
        with pytest.raises(AssertionError, match=r"nobody gets done.*'exec', 'create'"):
            plain.wait_for(name, ACTS, patience_s=10)
    plain.wait_for(name, ACTS, times=1)
    measures.begin(CALM)


@pytest.mark.parametrize("hang", HANGS, ids=[hang.name for hang in HANGS])
def test_only_subjects_wait_while_it_hangs(
    hang: Hang, built: Site, plain: Others, measures: Measures
) -> None:
    """What was held before stays held, what comes meanwhile is held, and nothing of it is lost."""
    units = (AGENT, COLLECTOR, NATS, "ssh.service", "systemd-journald.service")
    starts = run("systemctl", "show", "--property=MainPID", *units)
    before, already = held(built), seen(built)
    plain.no_logins = LOGIN not in hang.spared
    plain.times_without += plain.no_logins
    try:
        waiting = hang.start()
        measures.begin(hang.name)
        began = time.monotonic()
        meanwhile = held(built)
        watched = built.start(_WATCHED)
        assert watched.communicate(timeout=120)[0] == "done\n", "what is only watched does not wait"
        plain.wait_for(hang.name, hang.spared)
        time.sleep(max(0.0, SECONDS - (time.monotonic() - began)))
        plain.check()
        assert [state(one.pid) for one in (before, meanwhile)] == ["T", "T"]
        assert waiting.poll() is None, f"{hang.name} has not hung: it answers"
    finally:
        measures.begin(f"(after {hang.name})")
        hang.stop()
        plain.no_logins = False
    assert waiting.wait(timeout=120) == 0, f"{hang.name} has not gone on: it does not answer"
    for child in (before, meanwhile):
        built.approve(child.pid)
        assert child.communicate(timeout=120)[0] == "asked\n"
    built.sql_until(
        """SELECT coalesce(sum("count"), 0)::BIGINT FROM events WHERE rule = 'soak.seen'""",
        lambda rows: int(rows[0][0]) >= already + _SEEN,
    )
    assert seen(built) == already + _SEEN
    assert built.sql("SELECT count(*) FROM events WHERE kind = 'gap'") == [[0]]
    assert run("systemctl", "show", "--property=MainPID", *units) == starts, "one was restarted"
    plain.wait_for(f"(after {hang.name})", ACTS, times=1)
    measures.begin(CALM)

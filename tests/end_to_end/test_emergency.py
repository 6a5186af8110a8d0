"""The day that something goes wrong: no agent, a broken configuration, and root lets all go."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import procfs
from tests.support.house import PINS, House, house, place_for_all

pytestmark = pytest.mark.end_to_end

CHECKOUT = Path(__file__).resolve().parents[2]
RULES = """
rules:
  - id: secret
    description: Reads the secret of this test.
    severity: critical
    match: { open: { path: "{place}/secret" } }
    action: ask
"""
READ = "print(open('secret').read())"


@pytest.fixture
def home() -> Iterator[House]:
    """A Holdfast that asks about one file."""
    with place_for_all() as place:
        (place / "secret").write_text("swordfish")
        with house(place, RULES.replace("{place}", str(place))) as built:
            yield built


def release(home: House, **options: object) -> "subprocess.CompletedProcess[str]":
    """Run `release --all`."""
    words = ("release", "--all", "--reason", "the centre burns", "--config", str(home.config))
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-m", "agent", *words],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def kill_agent(home: House) -> None:
    """End the agent as nothing could prepare it for."""
    assert home.agent is not None
    home.agent.stop(signal.SIGKILL)
    home.agent = None


def test_everything_is_let_go_without_an_agent_and_the_trail_has_it(home: House) -> None:
    """Only root can; the kernel goes on holding what comes next, and the next agent tells of it."""
    child = home.start(READ)
    request = home.request_of(child)
    kill_agent(home)
    unasked = home.start(READ)
    while (found := procfs.stat(unasked.pid)) is None or found.state != "T":
        time.sleep(0.005)  # the kernel alone holds it, and tells nobody
    refused = release(home, user=home.user.pw_uid)
    assert refused.returncode == 1
    assert "only root may ask the agent" in refused.stderr
    assert child.poll() is None
    done = release(home)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2 holds let go\n"
    for one in (child, unasked):
        assert one.communicate(timeout=30)[0] == b"swordfish\n"
    assert PINS.is_dir()
    later = home.start(READ)
    home.start_agent()
    settled = home.settled(request)
    assert (settled["ground"], settled["outcome"]) == ("emergency", "released")
    last = settled["states"][-1]
    assert (last["reason"], last["by"]) == ("the centre burns", "root")
    home.answer(home.request_of(later), "approve", "the fire is out")
    assert later.communicate(timeout=30)[0] == b"swordfish\n"
    home.sql_until(
        "SELECT count(*) FROM releases WHERE ground = 'emergency'", lambda rows: rows[0][0] >= 1
    )


def test_neither_a_broken_configuration_nor_a_lost_identity_stands_in_the_way(home: House) -> None:
    """The places in the file still count, and the journal knows which host this is."""
    child = home.start(READ)
    request = home.request_of(child)
    kill_agent(home)
    good = home.config.read_text(encoding="utf-8")
    home.config.write_text(f"speling = 1\n{good}", encoding="utf-8")
    kept = home.bundle.with_name("put-away")
    os.rename(home.bundle, kept)
    done = release(home)
    assert done.returncode == 0, done.stderr
    assert "speling" in done.stderr
    assert "going by the journal" in done.stderr
    assert child.communicate(timeout=30)[0] == b"swordfish\n"
    os.rename(kept, home.bundle)
    home.config.write_text(good, encoding="utf-8")
    home.start_agent()
    settled = home.settled(request)
    assert (settled["ground"], settled["outcome"]) == ("emergency", "released")

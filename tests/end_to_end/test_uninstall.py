"""An agent that is taken away, as docs/install.md says, leaves nothing of ours on its host."""

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent import procfs
from rules.modes import HostMode
from tests.support import leftovers
from tests.support.house import PINS, USER, House, house, place_for_all
from tests.support.inside import compiled_programs
from tests.support.sensors import MODE
from tests.support.started import wait_gone

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


def agent_says(home: House, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run holdfast-agent with these words."""
    command = [sys.executable, "-m", "agent", *words, "--config", str(home.config)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)


def test_nothing_is_left_after_an_uninstall_with_something_held() -> None:
    """Not even where the agent was killed outright with a process held: `unload` says so first."""
    before = leftovers.found()
    with place_for_all() as place:
        (place / "secret").write_text("swordfish")
        with house(place, RULES.replace("{place}", str(place))) as home:
            home.stop_agent()
            running = leftovers.running()  # the centre
            home.start_agent()
            child = home.start("open('secret').read()")
            home.request_of(child)
            # In gate mode the kernel side itself lets nobody run on, and nobody is frozen.
            frozen = "" if MODE is HostMode.GATE else f"{PINS.name}-held-{child.pid}-"
            while frozen not in (procfs.cgroup(child.pid) or ""):
                time.sleep(0.005)  # it is moved there a moment after its request is shown
            assert home.agent is not None
            home.agent.stop(signal.SIGKILL)
            home.agent = None
            refused = agent_says(home, "unload")
            assert refused.returncode == 1
            assert "1 processes are held" in refused.stderr
            assert PINS.is_dir()
            forced = agent_says(home, "unload", "--force")
            assert forced.returncode == 0, forced.stderr
            assert f"kept on purpose: {place}/agent (the journal of holds)" in forced.stdout
            assert "have not reached the centre" in forced.stdout
            # The sockets of the killed agent, and what it told the sessions.
            assert not (place / "run").exists()
            assert not (place / "holdfast-why").exists()
            wait_gone(child.pid)
            # The centre and the user are the test's own, and still there.
            expected = {f"file: {place.name}", f"user: {USER}", f"group: {USER}"}
            assert leftovers.left_since(before | expected | running) == set()
            uninstall(place)
            # The configuration is ours to write, so it is ours to take away.
            kept = {path.name for path in place.iterdir()}
            assert kept == {"secret", "rules.yaml", "agent.toml", "agent.log", "centre"} | {
                path.name for path in place.glob("*.bundle.toml")
            }


def uninstall(place: Path) -> None:
    """Remove what docs/install.md tells to remove, where this agent's configuration has it."""
    text = (CHECKOUT / "docs" / "install.md").read_text(encoding="utf-8")
    commands = text.split("## Uninstall")[1].split("On the collector")[0]
    removed = re.findall(r"(/\S+)", "\n".join(re.findall(r"rm -rf? (.*)", commands)))
    here = {
        "/var/lib/holdfast-agent": place / "agent",
        "/var/cache/holdfast-agent": place / "cache",
    }
    assert set(here) <= set(removed), "the manual does not name the agent's directories"
    for path in here.values():
        # Inside a VM the compiled programs are those of all tests, and lie elsewhere.
        if path.name != "cache" or compiled_programs(path) == path:
            shutil.rmtree(path)

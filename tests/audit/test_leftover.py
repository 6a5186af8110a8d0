"""An agent in mode audit that is killed leaves its rules; the next one, or an unload, does not."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rules.modes import HostMode
from tests.bench.auditing import KEY
from tests.support.auditd import Auditd, rules
from tests.support.house import House, house, place_for_all
from tests.support.sensors import MODE

pytestmark = pytest.mark.audit

RULES = """
rules:
  - id: demo.any
    description: Every program that a watched user runs.
    severity: info
    match: { exec: { path: "**" } }
    action: observe
"""
_TAKEN_OUT = "of an earlier agent in mode audit were taken out of the kernel"
# What the run's programs are for: gate in a VM, else stop.
OTHER_MODE = HostMode.GATE if MODE is HostMode.GATE else HostMode.STOP


@pytest.fixture
def killed(session_daemon: Auditd, tmp_path: Path) -> Iterator[House]:
    """A Holdfast whose agent was in mode audit and was killed; its rules are in the kernel."""
    with place_for_all() as place:
        keys = f'mode = "audit"\naudit_socket = "{session_daemon.socket}"\naudit_key = "{KEY}"\n'
        with house(tmp_path, RULES, keys) as built:
            built.directory = place
            assert built.agent is not None
            built.agent.stop(signal.SIGKILL)
            built.agent = None
            assert rules()
            yield built


def change(home: House, old: str, new: str) -> None:
    """Change the agent's configuration."""
    text = home.config.read_text(encoding="utf-8")
    assert old in text
    home.config.write_text(text.replace(old, new), encoding="utf-8")


def test_an_agent_in_another_mode_takes_them_out(killed: House) -> None:
    """And says how many."""
    count = len(rules())
    change(killed, 'mode = "audit"', f'mode = "{OTHER_MODE}"')
    killed.start_agent()
    assert rules() == []
    killed.sql_until(
        "SELECT detail FROM events WHERE detail LIKE 'audit_rules_left:%'",
        lambda found: [f"audit_rules_left: {count} rules {_TAKEN_OUT}"] in found,
    )
    assert not (killed.config.parent / "agent" / "audit-rules").exists()


def test_an_agent_with_another_key_takes_those_of_the_old_one_out(killed: House) -> None:
    """A change of audit_key leaves nothing behind."""
    change(killed, f'audit_key = "{KEY}"', f'audit_key = "{KEY}-2"')
    killed.start_agent()
    assert rules() == []
    assert killed.stop_agent() == 0


def test_an_unload_takes_them_out_whatever_the_mode_is(killed: House) -> None:
    """So does an uninstall; to unload once more is no error."""
    change(killed, 'mode = "audit"', f'mode = "{OTHER_MODE}"')
    unload(killed)
    assert rules() == []
    unload(killed)


def unload(home: House) -> None:
    """Run holdfast-agent unload."""
    command = [sys.executable, "-m", "agent", "unload", "--config", str(home.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

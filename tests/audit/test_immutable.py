"""An audit configuration that nothing can change until the next boot: what is said, and what works.

One test, in a VM of its own (tests/vm/test_audit.py): there is no way back but a boot.
"""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.audit.leftover import LeftRules
from agent.errors import SensorError
from agent.sensor.audit import AuditSensor
from tests.audit.site import Site
from tests.bench.auditing import auditctl, status
from tests.support.accounts import Accounts
from tests.support.auditd import Auditd
from tests.support.watched import subreaper

pytestmark = pytest.mark.audit

# Not that of the other tests: these rules stay, and what those leave is looked for.
KEY = "holdfast-fixed"
TOOL = """
rules:
  - id: test.tool
    description: Runs sleep.
    severity: high
    match: { exec: { path: "**/sleep" } }
    action: ask
"""
MORE = (
    TOOL
    + """
  - id: test.open
    description: Opens a file.
    severity: high
    match: { open: { path: "/holdfast-test/none" } }
    action: ask
"""
)


def rules() -> list[str]:
    """Return the audit rules with the key of this test."""
    return [line for line in auditctl("-l").splitlines() if line.endswith(f"key={KEY}")]


def fresh(site: Site) -> AuditSensor:
    """Return a sensor of that key, as a restarted agent has."""
    return AuditSensor(site.daemon.socket, site.place / "run", key=KEY)


@pytest.fixture
def fixed(people: Accounts, place: Path) -> Iterator[Site]:
    """A sensor that has put its rules into the kernel before nothing could be changed any more."""
    daemon = Auditd(place / "auditd")
    daemon.start()
    with subreaper():
        site = Site(daemon, people, place)
        try:
            site.sensor = fresh(site)
            site.start(TOOL)
            auditctl("-e", "2")
            yield site
        finally:
            site.close()
            daemon.end()


def doctor(site: Site, key: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return what doctor says of auditd, and what it says that audit mode lacks."""
    config = site.place / "agent.toml"
    config.write_text(
        f'mode = "audit"\naudit_key = "{key}"\nrules = ["rules.yaml"]\n'
        f'[[subjects]]\nname = "ai"\nusers = ["{site.people.watched.pw_name}"]\n'
    )
    command = [sys.executable, "-m", "agent", "doctor", "--json", "--config", str(config)]
    said = json.loads(subprocess.run(command, capture_output=True, check=False).stdout)
    (finding,) = (one for one in said["findings"] if one["check"] == "auditd")
    (way,) = (one for one in said["ways"] if one["mode"] == "audit")
    return finding, way["missing"]


def test_an_immutable_configuration_is_told_with_what_to_do_and_serves_as_it_is(
    fixed: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """Rules that are there go on; others, and their end, take a reboot. Doctor says the same."""
    there = rules()
    assert there
    assert status()["enabled"] == 2
    with pytest.raises(SensorError, match="immutable until the next boot") as refused:
        fixed.sensor.set_tables(fixed.tables(MORE))
    assert "/etc/audit/rules.d/holdfast.rules and reboot" in str(refused.value)
    assert f"key={KEY}" in str(refused.value).splitlines()[-1], "the rules to put there are named"
    fixed.sensor.set_tables(fixed.tables(TOOL))
    one = fixed.run(["/usr/bin/sleep", "95"])
    fixed.let_go(fixed.next_hold(lambda act: act.process.pid == one.pid))

    with caplog.at_level(logging.WARNING):
        fixed.stop()
    assert "stay in the kernel" in caplog.text
    assert "immutable" in caplog.text
    assert rules() == there
    fixed.sensor = fresh(fixed)
    fixed.start(TOOL)
    two = fixed.run(["/usr/bin/sleep", "96"])
    assert fixed.next_hold(lambda act: act.process.pid == two.pid)
    fixed.stop()

    # What an agent in another mode, and an unload, would do.
    left = LeftRules(fixed.place / "left")
    left.note(KEY)
    for attempt in (fixed.sensor.unload, left.take_out):
        with pytest.raises(SensorError, match=r"immutable .*rules\.d, and reboot"):
            attempt()
    left.note("no-such-key")
    assert left.take_out() == 0, "where there are none, nothing has to be taken out"

    finding, obstacles = doctor(fixed, KEY)
    assert "immutable until the next boot; it has" in finding["what"]
    assert "-e 2" in finding["remedy"]
    assert not [one for one in obstacles if "immutable" in one["what"]]
    _, obstacles = doctor(fixed, "no-such-key")
    (lacking,) = (one for one in obstacles if "immutable" in one["what"])
    assert "-e 2" in lacking["remedy"]

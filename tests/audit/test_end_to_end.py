"""The whole of Holdfast in mode audit: agent, collector, nats-server and a real auditd."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.auditing import KEY
from tests.support.auditd import Auditd, rules
from tests.support.house import House, house, place_for_all, wait_still

pytestmark = pytest.mark.audit


def _rules(place: Path) -> str:
    return f"""
rules:
  - id: demo.secret
    description: Reads the secrets of this test.
    severity: critical
    match: {{open: {{path: {place}/secrets/**}}}}
    action: ask
  - id: demo.never
    description: Is never allowed.
    severity: critical
    match: {{exec: {{path: {place}/never}}}}
    action: deny
  - id: demo.every-exec
    description: Every program that a watched user runs.
    severity: info
    match: {{exec: {{path: "**"}}}}
    action: observe
"""


READ = """
import sys
file = open("{place}/secrets/key")
sys.stdin.readline()  # it is late, and this stands for whatever it does before the stop
print(file.read(), flush=True)
"""


@pytest.fixture
def home(session_daemon: Auditd, tmp_path: Path) -> Iterator[House]:
    """A Holdfast whose agent hears auditd."""
    with place_for_all() as place:
        (place / "secrets").mkdir()
        (place / "secrets" / "key").write_text("swordfish")
        script = place / "never"
        script.write_text("#!/bin/sh\nread line\n")
        script.chmod(0o755)
        keys = f'mode = "audit"\naudit_socket = "{session_daemon.socket}"\naudit_key = "{KEY}"\n'
        with house(tmp_path, _rules(place), keys) as built:
            built.directory = place
            yield built


def test_an_approved_process_runs_on(home: House) -> None:
    """It is held, still, and asked about; the request says that it is late."""
    child = home.start(READ.format(place=home.directory))
    request = home.request_of(child)
    assert request["act"]["guarantee"] == "late"
    assert request["act"]["path"] == f"{home.directory}/secrets/key"
    wait_still(child)
    assert home.answer(request, "approve", "for the test")["outcome"] == "released"
    assert child.communicate(b"\n")[0] == b"swordfish\n"
    found = home.sql_until(
        "select guarantee, action from events where rule = 'demo.secret'", lambda rows: bool(rows)
    )
    assert found == [["late", "ask"]]
    assert home.call("GET", "/hosts").json()["hosts"][0]["mode"] == "audit"


def test_a_denied_process_dies_and_a_forbidden_one_is_not_asked_about(home: House) -> None:
    """By a person, and by a rule."""
    child = home.start(READ.format(place=home.directory))
    request = home.request_of(child)
    assert home.answer(request, "deny", "no")["outcome"] == "killed"
    assert child.communicate()[0] == b""
    assert child.returncode == -9
    assert home.start([f"{home.directory}/never"]).wait() == -9


def test_an_act_that_is_over_is_recorded_as_not_stopped(home: House) -> None:
    """With its rule; there is nobody to hold, so nobody is asked."""
    for _ in range(20):  # one or the other of them is stopped in time
        home.start(["/usr/bin/cat", f"{home.directory}/secrets/key"])
    found = home.sql_until(
        "select count(*), min(action) from events where detail like 'not stopped:%'",
        lambda rows: rows[0][0] > 0,
    )
    assert found[0][1] == "ask"
    home.sql_until(
        "select count(*) from events where kind = 'notice' and detail like 'not_stopped:%'",
        lambda rows: rows[0][0] > 0,
    )


def test_what_is_held_outlives_the_agent(home: House) -> None:
    """Its rules go with it, and come with the next one, which knows what is held."""
    child = home.start(READ.format(place=home.directory))
    request = home.request_of(child)
    wait_still(child)
    assert rules()
    assert home.stop_agent() == 0
    assert not rules()
    wait_still(child)
    home.start_agent()
    status = subprocess.run(
        [sys.executable, "-m", "agent", "status", "--json", "--config", str(home.config)],
        capture_output=True,
        check=True,
    )
    assert [one["pid"] for one in json.loads(status.stdout)["holds"]] == [child.pid]
    assert home.answer(request, "approve", "still")["outcome"] == "released"
    assert child.communicate(b"\n")[0] == b"swordfish\n"


def test_a_daemon_that_was_away_is_in_the_trail(home: House, session_daemon: Auditd) -> None:
    """As a gap, and as notices that say since when and why."""
    session_daemon.end()
    session_daemon.start()
    home.sql_until(
        "select count(*) from events where kind = 'gap' and detail like '%no audit records came%'",
        lambda rows: rows[0][0] == 1,
    )
    home.sql_until(
        "select count(*) from events where detail like 'audit_away:%'",
        lambda rows: rows[0][0] >= 1,
    )
    home.sql_until(
        "select count(*) from events where detail like 'audit_back:%'",
        lambda rows: rows[0][0] == 1,
    )

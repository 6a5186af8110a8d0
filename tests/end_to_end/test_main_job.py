"""The main job: the kernel stops a watched process, a person answers, it runs on or dies."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rules.modes import HostMode
from tests.support.house import (
    OWNER,
    House,
    break_guard,
    house,
    is_still,
    place_for_all,
    wait_still,
)
from tests.support.sensors import MODE

pytestmark = pytest.mark.end_to_end

CONTENT = "the password is swordfish"


def rules(place: Path) -> str:
    """Return the rules that the tests here live by."""
    return f"""
rules:
  - id: demo.export
    description: Writes an export of the customer database.
    severity: high
    match: {{exec: {{path: {place}/export}}}}
    action: ask
  - id: demo.secret
    description: Reads the secrets of this test.
    severity: critical
    match: {{open: {{path: {place}/secrets/**}}}}
    action: ask
  - id: demo.outside
    description: Connects to what stands for the outside.
    severity: high
    match: {{connect: {{address: 127.0.0.9}}}}
    action: ask
  - id: demo.short
    description: Is asked about for a moment only.
    severity: low
    match: {{exec: {{path: {place}/short}}}}
    action: ask
    timeout: 2s
  - id: demo.lenient
    description: May run when nobody says no.
    severity: low
    match: {{exec: {{path: {place}/lenient}}}}
    action: ask
    timeout: 2s
    on_timeout: release
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


def script(place: Path, name: str) -> None:
    """Write a program whose only act is to leave a file `NAME.done`."""
    program = place / name
    program.write_text(f"#!/bin/sh\necho done > {place}/out/{name}.done\n")
    program.chmod(0o755)


@pytest.fixture(scope="module")
def home() -> Iterator[House]:
    """One Holdfast for all tests of this file."""
    with place_for_all() as place:
        yield from furnished(place)


def furnished(place: Path) -> Iterator[House]:
    """Give a Holdfast with the programs and secrets that the tests are about."""
    for name in ("export", "short", "lenient", "never"):
        script(place, name)
    (place / "secrets").mkdir()
    for name in ("one", "two"):
        (place / "secrets" / name).write_text(CONTENT)
    with house(place, rules(place)) as built:
        (place / "out").mkdir()
        os.chown(place / "out", built.user.pw_uid, built.user.pw_gid)
        yield built


@pytest.fixture(autouse=True)
def clean(home: House) -> Iterator[None]:
    """Begin each test without the traces of another."""
    for one in (home.directory / "out").iterdir():
        one.unlink()
    yield
    for child in home.children:
        child.kill()
        child.communicate()
    home.children.clear()


def test_an_approved_command_waits_and_then_runs(home: House) -> None:
    """Nothing of it happens before the answer; afterwards it runs to its end."""
    child = home.start([str(home.directory / "export"), "--table", "customers"])
    request = home.request_of(child)
    wait_still(child)
    assert is_still(child.pid)
    assert not (home.directory / "out" / "export.done").exists()
    assert request["act"]["guarantee"] == "held"
    assert request["act"]["argv"][1:] == [
        str(home.directory / "export"),
        "--table",
        "customers",
    ]

    settled = home.answer(request, "approve", "quarterly report")

    assert child.wait(30) == 0
    assert (home.directory / "out" / "export.done").read_text() == "done\n"
    assert (settled["state"], settled["outcome"], settled["ground"]) == (
        "approved",
        "released",
        "decision",
    )


def test_a_denied_command_dies_before_its_first_instruction(home: House) -> None:
    """The process is killed and what it would have done has not been done."""
    child = home.start([str(home.directory / "export")])
    settled = home.answer(home.request_of(child), "deny", "not today")
    assert child.wait(30) == -signal.SIGKILL
    assert not (home.directory / "out" / "export.done").exists()
    assert (settled["state"], settled["outcome"]) == ("denied", "killed")


@pytest.mark.parametrize("answer", ["approve", "deny"])
def test_a_secret_is_read_only_after_approval(home: House, answer: str) -> None:
    """In gate mode it is not open yet; in stop mode the process is stopped before its read."""
    child = home.start(["/bin/cat", str(home.directory / "secrets" / "one")])
    request = home.request_of(child)
    assert request["act"]["guarantee"] == ("held" if MODE is HostMode.GATE else "stopped")
    home.answer(request, answer, "rotating it")
    printed, _ = child.communicate(timeout=30)
    if answer == "approve":
        assert (child.returncode, printed.decode()) == (0, CONTENT)
    else:
        assert (child.returncode, printed) == (-signal.SIGKILL, b"")


@pytest.mark.parametrize("answer", ["approve", "deny"])
def test_nothing_is_said_over_a_connection_before_approval(home: House, answer: str) -> None:
    """In gate mode there is no connection; in stop mode there may be one, and not a byte on it."""
    with socket.create_server(("127.0.0.9", 0)) as server:
        port = server.getsockname()[1]
        child = home.start(
            f"import socket\ns = socket.create_connection(('127.0.0.9', {port}))\n"
            "s.sendall(b'exfiltrated')\ns.close()\nprint('sent')"
        )
        request = home.request_of(child)
        assert (request["act"]["address"], request["act"]["port"]) == ("127.0.0.9", port)
        if MODE is HostMode.GATE:
            server.setblocking(False)
            with pytest.raises(BlockingIOError):
                server.accept()
            home.answer(request, answer, "known partner")
            child.wait(30)
            if answer == "deny":
                with pytest.raises(BlockingIOError):
                    server.accept()
                return
            peer, _ = server.accept()
        else:
            server.settimeout(30)
            peer, _ = server.accept()
            peer.setblocking(False)
            with pytest.raises(BlockingIOError):
                peer.recv(64)
            home.answer(request, answer, "known partner")
            child.wait(30)
        with peer:
            peer.settimeout(30)
            assert said_over(peer) == (b"exfiltrated" if answer == "approve" else b"")


def said_over(peer: socket.socket) -> bytes:
    """Return all that comes until the connection ends, one way or the other."""
    said = b""
    with suppress(ConnectionResetError):
        while piece := peer.recv(64):
            said += piece
    return said


def test_two_holds_of_one_process_need_two_approvals(home: House) -> None:
    """Approving one leaves the process stopped for the other; only both let it run on."""
    one, two = (home.directory / "secrets" / name for name in ("one", "two"))
    child = home.start(f"open('{one}'); open('{two}'); print('both')")
    first = home.request_of(child)
    wait_still(child)
    # Nobody but root could bring it to its second act, which is held beside the first.
    break_guard(child.pid)
    second = home.watcher.wait(
        lambda r: r["act"]["process"]["pid"] == child.pid and r["request"] != first["request"]
    )
    response = home.call(
        "POST",
        f"/requests/{first['request']}/decision",
        body={"answer": "approve", "reason": "the first"},
    )
    assert response.status_code == 200
    home.watcher.wait(
        lambda r: (
            r["request"] == first["request"]
            and any(state["state"] == "approved" for state in r["states"])
        )
    )
    assert is_still(child.pid)
    home.answer(second, "approve", "and the second")
    printed, _ = child.communicate(timeout=30)
    assert printed == b"both\n"
    assert home.settled(first)["outcome"] == "released"


def test_a_denial_of_one_hold_kills_whatever_else_was_approved(home: House) -> None:
    """Any denial ends the process."""
    one, two = (home.directory / "secrets" / name for name in ("one", "two"))
    child = home.start(f"open('{one}'); open('{two}'); print('both')")
    first = home.request_of(child)
    wait_still(child)
    break_guard(child.pid)
    second = home.watcher.wait(
        lambda r: r["act"]["process"]["pid"] == child.pid and r["request"] != first["request"]
    )
    body = {"answer": "approve", "reason": "the first"}
    home.call("POST", f"/requests/{first['request']}/decision", body=body)
    home.answer(second, "deny", "but not the second")
    printed, _ = child.communicate(timeout=30)
    assert (child.returncode, printed) == (-signal.SIGKILL, b"")


def test_a_held_process_that_dies_closes_its_request(home: House) -> None:
    """The request is cancelled and can no longer be answered."""
    child = home.start([str(home.directory / "export")])
    request = home.request_of(child)
    child.kill()
    child.wait()
    assert home.settled(request)["state"] == "cancelled"
    response = home.call(
        "POST",
        f"/requests/{request['request']}/decision",
        body={"answer": "approve", "reason": "too late"},
    )
    assert response.status_code == 410


def test_silence_kills_by_default(home: House) -> None:
    """After the rule's timeout the process is dead, and the ground is the timeout policy."""
    child = home.start([str(home.directory / "short")])
    settled = home.settled(home.request_of(child))
    assert child.wait(30) == -signal.SIGKILL
    assert not (home.directory / "out" / "short.done").exists()
    assert (settled["state"], settled["outcome"]) == ("expired", "killed")
    assert settled["ground"] == "timeout_policy"


def test_silence_releases_only_where_the_rule_says_so(home: House) -> None:
    """And then the trail says that it was the timeout policy."""
    child = home.start([str(home.directory / "lenient")])
    request = home.request_of(child)
    settled = home.settled(request)
    assert child.wait(30) == 0
    assert (settled["state"], settled["outcome"], settled["ground"]) == (
        "expired",
        "released",
        "timeout_policy",
    )


def test_a_deadline_is_kept_while_the_centre_is_gone(home: House) -> None:
    """The host's own clock decides; the centre learns it when it is back."""
    child = home.start([str(home.directory / "short")])
    request = home.request_of(child)
    home.centre.stop_nats()
    try:
        assert child.wait(30) == -signal.SIGKILL
    finally:
        home.centre.start_nats()
    assert home.settled(request)["state"] == "expired"


def test_a_denying_rule_kills_without_asking(home: House) -> None:
    """No request is opened, and the trail names the rule as the ground."""
    child = home.start([str(home.directory / "never")])
    assert child.wait(30) == -signal.SIGKILL
    assert not (home.directory / "out" / "never.done").exists()
    home.start(["/bin/true"]).wait(30)
    rows = wait_for_rows(home, "select action, rule from events where rule = 'demo.never'")
    assert rows[0] == ["deny", "demo.never"]
    killed = "select state from hold_states where ground = 'rule' order by sequence"
    home.sql_until(killed, lambda rows: rows == [["denied"], ["killed"]])
    assert home.sql("select reason from rejected") == []


def wait_for_rows(home: House, query: str) -> list[list[object]]:
    """Return the rows once there are any: events travel in batches behind the requests."""
    for _ in range(300):
        rows = home.sql(query)
        if rows:
            return rows
        subprocess.run(["sleep", "0.1"], check=True)
    raise AssertionError(f"nothing for {query}")


def test_nobody_decides_their_own(home: House) -> None:
    """Neither the owner of the subject nor an administrator who is its owner."""
    child = home.start([str(home.directory / "export")])
    request = home.request_of(child)
    for role in ("reviewer", "admin"):
        token = home.centre.token(OWNER, role)
        response = home.call(
            "POST",
            f"/requests/{request['request']}/decision",
            token=token,
            body={"answer": "approve", "reason": "mine"},
        )
        assert (response.status_code, response.json()["error"]["code"]) == (403, "own_request")
    assert is_still(child.pid)


def test_a_reason_is_required(home: House) -> None:
    """Without one nothing is decided and the process stays stopped."""
    child = home.start([str(home.directory / "export")])
    request = home.request_of(child)
    response = home.call(
        "POST",
        f"/requests/{request['request']}/decision",
        body={"answer": "approve", "reason": "  "},
    )
    assert response.status_code == 422
    assert is_still(child.pid)


def test_the_trail_says_who_when_and_why(home: House) -> None:
    """One question answers for an approval and for a denial alike."""
    for answer, reason in (("approve", "audit asked"), ("deny", "nobody knows it")):
        child = home.start([str(home.directory / "export")])
        home.answer(home.request_of(child), answer, reason)
        child.wait(30)
    rows = home.sql(
        'select "by", answer, reason, time_ns from decisions order by time_ns desc limit 2'
    )
    assert [row[:3] for row in rows] == [
        ["ann@example.com", "deny", "nobody knows it"],
        ["ann@example.com", "approve", "audit asked"],
    ]
    assert all(isinstance(row[3], int) and row[3] > 0 for row in rows)


def test_the_agent_restarts_with_a_hold_open(home: House) -> None:
    """Still stopped while no agent is there; the same request is then answered."""
    child = home.start([str(home.directory / "export")])
    request = home.request_of(child)
    assert home.stop_agent() == 0
    assert is_still(child.pid)
    home.start_agent()
    settled = home.answer(request, "approve", "after the restart")
    assert child.wait(30) == 0
    assert settled["outcome"] == "released"


def test_an_act_while_no_agent_runs_is_held_for_the_next(home: House) -> None:
    """The programs are pinned: the kernel stops, and the new agent asks."""
    assert home.stop_agent() == 0
    child = home.start([str(home.directory / "export")])
    wait_still(child)
    home.start_agent()
    home.answer(home.request_of(child), "approve", "found by the new agent")
    assert child.wait(30) == 0


def test_a_broken_rule_file_changes_nothing(home: House) -> None:
    """The agent says file, line and column, and goes on with the rules it had."""
    good = home.rules.read_text()
    assert home.agent is not None
    home.rules.write_text(good.replace("severity: critical", "severity: terrible", 1))
    try:
        home.agent.process.send_signal(signal.SIGHUP)
        line = home.agent.wait_for("terrible")
        assert "rules.yaml:" in line
        child = home.start([str(home.directory / "export")])
        home.answer(home.request_of(child), "deny", "still asked")
    finally:
        home.rules.write_text(good)


def test_an_emergency_release_is_recorded(home: House) -> None:
    """Root can let everything go, and the trail says that it was an emergency, and why."""
    child = home.start([str(home.directory / "export")])
    request = home.request_of(child)
    done = subprocess.run(
        [
            *("/usr/bin/env", "--", sys.executable, "-m", "agent", "release"),
            *("--all", "--reason", "the pager is on fire", "--config", str(home.config)),
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    settled = home.settled(request)
    assert child.wait(30) == 0
    assert (settled["ground"], settled["outcome"]) == ("emergency", "released")
    assert "the pager is on fire" in json.dumps(settled["states"])


def test_every_act_of_the_watched_user_is_in_the_trail(home: House) -> None:
    """Observed commands are there with their arguments; no other user's are."""
    home.start(["/bin/echo", "seen by Holdfast"]).wait(30)
    subprocess.run(["/bin/echo", "not seen"], check=True, capture_output=True)
    rows = wait_for_rows(
        home,
        "select subject, argv, action from events where list_contains(argv, 'seen by Holdfast')",
    )
    assert rows[0] == ["ai-worker", ["/bin/echo", "seen by Holdfast"], "observe"]
    assert home.sql("select 1 from events where list_contains(argv, 'not seen')") == []

"""Who lets a held process run on, and is not allowed to: it does not get on with its act.

Each attack runs as the watched user, has a child that is held, and says `done` when it has tried.
The child leaves a file if it ever gets past its held act; that file is all that counts.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import procfs
from agent.freezer import Freezer
from agent.release import ProcessId
from agent.sensor.labels import cgroup_mount
from tests.support.accounts import end_processes
from tests.support.children import start_ns
from tests.support.house import PINS, House, house, place_for_all
from tests.support.started import wait_gone
from tests.support.tiny_elf import write_creator

pytestmark = pytest.mark.end_to_end

RULES = """
rules:
  - id: guard.secret
    description: Reads the secret of this test.
    severity: critical
    match: { open: { path: "{place}/secret" } }
    action: ask
  - id: guard.program
    description: Runs the program of this test.
    severity: critical
    match: { exec: { path: "{place}/creator" } }
    action: ask
"""

PRELUDE = """
import ctypes, os, signal, sys, time
libc = ctypes.CDLL(None, use_errno=True)
place = sys.argv[1] if len(sys.argv) > 1 else os.getcwd()
def say(*words): os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def opener():
    open("secret").read()
    open("out/got-on", "w").close()
    os._exit(0)
def creator():
    os.execv("creator", ["creator"])
def start(victim, before=lambda: None):
    child = os.fork()
    if not child:
        before()
        victim()
    say(child)
    return child
def resume(child, times=50):
    for _ in range(times):
        os.kill(child, signal.SIGCONT)
        os.sched_yield()
def finish():
    say("done")
    signal.pause()
"""

# Each waits for a line, which comes when the request is open, unless it needs to be first.
ATTACKS = {
    "a sibling of the same user": """
child = start({victim})
if not os.fork():
    sys.stdin.readline(); resume(child); finish()
signal.pause()
""",
    "a parent that lets its child run on as soon as it stops": """
child = start({victim})
for _ in range(20):
    os.waitpid(child, os.WUNTRACED)
    os.kill(child, signal.SIGCONT)
finish()
""",
    "a parent that ignores SIGCHLD": """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
child = start({victim})
sys.stdin.readline(); resume(child); finish()
""",
    "the kernel, when the process group is orphaned": """
def apart():
    os.setpgid(0, 0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
middle = os.fork()
if not middle:
    child = start({victim}, apart)
    sys.stdin.readline()
    os._exit(0)
os.waitpid(middle, 0)
finish()
""",
}


@pytest.fixture(scope="module")
def home() -> Iterator[House]:
    """One Holdfast for all tests of this file."""
    with place_for_all() as place:
        (place / "secret").write_text("swordfish")
        with house(place, RULES.replace("{place}", str(place))) as built:
            (place / "out").mkdir()
            os.chown(place / "out", built.user.pw_uid, built.user.pw_gid)
            write_creator(place / "creator", place / "out" / "got-on")
            yield built


@pytest.fixture
def got_on(home: House) -> Iterator[Path]:
    """What is there once a held process has got past its act."""
    path = home.directory / "out" / "got-on"
    path.unlink(missing_ok=True)
    yield path
    end_processes(home.user.pw_uid)  # what an attack has forked is nobody's child any more
    for child in home.children:
        child.communicate()
    home.children.clear()


def attack(home: House, code: str, victim: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start an attack; return it and the pid of the process that is to be held."""
    attacker = home.start(PRELUDE + code.replace("{victim}", victim))
    return attacker, int(line(attacker))


def line(child: subprocess.Popen[bytes]) -> str:
    """Return the next line that a child says."""
    assert child.stdout is not None
    return child.stdout.readline().decode().strip()


def told(child: subprocess.Popen[bytes], pid: int) -> None:
    """Tell the attack to begin once its victim is frozen, and wait until it has tried all."""
    while not is_frozen(pid):
        time.sleep(0.005)
    assert child.stdin is not None
    child.stdin.write(b"go\n")
    child.stdin.flush()
    assert line(child) == "done"


def is_frozen(pid: int) -> bool:
    """Return whether the agent has frozen a process."""
    return Freezer(cgroup_mount(), PINS.name).is_frozen(ProcessId(pid, start_ns(pid)))


def request_of(home: House, pid: int) -> dict[str, Any]:
    """Wait for the request about a process."""
    return home.watcher.wait(
        lambda one: one["act"]["process"]["pid"] == pid and one["state"] == "open"
    )


@pytest.mark.parametrize("victim", ["opener", "creator"])
@pytest.mark.parametrize("name", ATTACKS)
def test_nobody_else_lets_a_held_process_get_on(
    home: House, got_on: Path, name: str, victim: str
) -> None:
    """It waits for its answer whatever is tried, and after the approval it does run on."""
    attacker, pid = attack(home, ATTACKS[name], victim)
    request = request_of(home, pid)
    told(attacker, pid)
    assert not got_on.exists()
    assert home.call("GET", f"/requests/{request['request']}").json()["state"] == "open"
    assert home.answer(request, "approve", "known work")["outcome"] == "released"
    wait_gone(pid)
    assert got_on.exists()


@pytest.mark.parametrize("victim", ["opener", "creator"])
def test_a_denied_process_dies_frozen_as_it_is(home: House, got_on: Path, victim: str) -> None:
    """The kill reaches it, and its cgroup goes with it."""
    attacker, pid = attack(home, ATTACKS["a sibling of the same user"], victim)
    request = request_of(home, pid)
    told(attacker, pid)
    cgroup = procfs.cgroup(pid)
    assert cgroup is not None
    assert "-held-" in cgroup
    assert home.answer(request, "deny", "no")["outcome"] == "killed"
    assert not got_on.exists()


def test_the_attempt_shows_on_the_request_and_in_the_trail(home: House, got_on: Path) -> None:
    """Who did it, by pid, name and user, and how often: the first, the tenth time."""
    attacker, pid = attack(home, ATTACKS["a sibling of the same user"], "opener")
    request = request_of(home, pid)
    told(attacker, pid)

    def shown(one: dict[str, Any]) -> bool:
        return one["request"] == request["request"] and any(
            "the 10. time" in state["detail"] for state in one["states"]
        )

    found = home.watcher.wait(shown)
    assert found["state"] == "open"
    assert f"uid {home.user.pw_uid}" in found["states"][-1]["detail"]
    assert any("sent it SIGCONT" in section for section in str(found["card"]).splitlines())
    home.answer(request, "deny", "it fights")
    home.sql_until(
        "SELECT detail FROM events WHERE detail LIKE 'resumed_by_another:%'",
        lambda rows: any(f"process {pid}-" in row[0] for row in rows),
    )
    assert not got_on.exists()


def test_a_flood_of_sigcont_from_before_the_act_ends_in_a_kill(home: House, got_on: Path) -> None:
    """The stop itself is taken back before it takes effect: then no further call returns."""
    code = """
child = start(opener)
end = time.monotonic() + 0.5
while time.monotonic() < end:
    os.kill(child, signal.SIGCONT)
finish()
"""
    attacker, pid = attack(home, code, "opener")
    assert line(attacker) == "done"
    request = home.watcher.wait(lambda one: one["act"]["process"]["pid"] == pid)
    assert not got_on.exists()
    if request["state"] == "open":  # frozen before it made another call
        request = home.answer(request, "deny", "it fights")
    assert request["state"] in ("denied", "cancelled")
    assert not got_on.exists()


@pytest.mark.parametrize("victim", ["opener", "creator"])
def test_a_watched_process_that_traces_a_held_one_is_killed(
    home: House, got_on: Path, victim: str
) -> None:
    """At the end of the call by which it attaches, whether the other is frozen yet or not."""
    code = """
child = start({victim})
sys.stdin.readline()
libc.ptrace(16, child, 0, 0)  # PTRACE_ATTACH
say("still here")
"""
    attacker, pid = attack(home, code, victim)
    request = request_of(home, pid)
    assert attacker.stdin is not None
    attacker.stdin.write(b"go\n")
    attacker.stdin.flush()
    assert attacker.wait(60) == -signal.SIGKILL
    assert not got_on.exists()
    noted = home.watcher.wait(
        lambda one: (
            one["request"] == request["request"]
            and any("began to trace it" in state["detail"] for state in one["states"])
        )
    )
    assert home.answer(noted, "approve", "known work")["outcome"] == "released"
    wait_gone(pid)
    assert got_on.exists()


def test_a_process_that_a_watched_one_traces_is_not_held_but_killed(
    home: House, got_on: Path
) -> None:
    """Its tracer would decide whether the stop reaches it, so none could be trusted."""
    code = """
child = start(opener, lambda: libc.ptrace(0, 0, 0, 0))  # PTRACE_TRACEME
while True:
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) or os.WIFEXITED(status): break
    libc.ptrace(7, child, 0, 0)
say(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
finish()
"""
    attacker, _ = attack(home, code, "opener")
    assert line(attacker) == "9"
    assert not got_on.exists()


def test_a_frozen_process_outlives_its_agent_as_it_is(home: House, got_on: Path) -> None:
    """Killed outright, the agent leaves it frozen; the next one takes it up and can let it go."""
    attacker, pid = attack(home, ATTACKS["a parent that ignores SIGCHLD"], "opener")
    request = request_of(home, pid)
    assert home.agent is not None
    home.agent.stop(signal.SIGKILL)
    told(attacker, pid)
    assert not got_on.exists()
    home.start_agent()
    assert home.answer(request, "approve", "known work")["outcome"] == "released"
    wait_gone(pid)
    assert got_on.exists()

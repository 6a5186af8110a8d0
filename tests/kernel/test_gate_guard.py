"""Gate mode: whoever lets a held process run on but the agent, it does not get to user space."""

import errno
import signal
import time
from pathlib import Path

import pytest

from tests.support.started import python, signal_process, state, wait_state
from tests.support.tiny_elf import write_creator
from tests.support.watched import Watched

pytestmark = [pytest.mark.kernel, pytest.mark.gate]

RULES = """
rules:
  - id: tiny
    description: The tiny program.
    severity: high
    match: { exec: { path: "{place}/tiny" } }
    action: ask
  - id: secret
    description: A secret.
    severity: high
    match: { open: { path: "{place}/secret*" } }
    action: ask
"""


@pytest.fixture
def made(watched: Watched) -> Path:
    """What the tiny program makes by its first instructions."""
    watched.rules(RULES)
    write_creator(watched.place / "tiny", watched.place / "made")
    (watched.place / "secret").write_text("secret")
    (watched.place / "secret").chmod(0o644)
    (watched.place / "secret-2").write_text("second")
    (watched.place / "secret-2").chmod(0o644)
    return watched.place / "made"


FLOOD = """
import signal
pid, refused = PID, 0
for _ in range(1000):
    try:
        os.kill(pid, signal.SIGCONT)
    except PermissionError:
        refused += 1
say(refused)
"""


def test_a_flood_of_sigcont_by_a_sibling_is_refused(watched: Watched, made: Path) -> None:
    """Each one: the sender is told so, and nobody runs on."""
    child = watched.run([watched.place / "tiny"])
    watched.next_hold(child)
    child.wait_stopped()
    sibling = watched.run(FLOOD.replace("PID", str(child.pid)))
    assert sibling.line() == "1000"
    assert state(child.pid) == "T"
    assert not made.exists()
    told = watched.sensor.new_resumes()
    assert told
    assert all(one.pid == child.pid and one.by_pid == sibling.pid for one in told)


def test_the_agent_itself_may_send_sigcont_and_it_is_no_release(
    watched: Watched, made: Path
) -> None:
    """3000 of them, which the security function lets through: the way back stops it each time."""
    child = watched.run([watched.place / "tiny"])
    watched.next_hold(child)
    child.wait_stopped()
    for _ in range(3000):
        child.resume()
    time.sleep(0.2)
    assert state(child.pid) == "T"
    assert not made.exists()


def test_a_process_group_that_is_orphaned_does_not_run_on(watched: Watched, made: Path) -> None:
    """The kernel itself sends SIGHUP and SIGCONT to one with a stopped process in it."""
    parent = watched.run(
        "import signal\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "leader = os.fork()\n"
        "if leader == 0:\n"
        "    os.setsid()\n"
        "    middle = os.fork()\n"
        "    if middle == 0:\n"
        "        os.setpgid(0, 0)\n"
        "        os.execv('tiny', ['tiny'])\n"
        "    say(middle)\n"
        "    os.read(0, 3)\n"
        "    os._exit(0)\n"
        "os.read(0, 3)\n"
        "os.read(0, 3)\n"
    )
    pid = int(parent.line())
    watched.next_hold(pid)
    wait_state(pid, "T")
    # Each reads one; when the leader and the parent have ended, the group is an orphan.
    parent.tell()
    parent.tell()
    parent.tell()
    parent.end()
    time.sleep(0.5)
    assert state(pid) == "T"
    assert not made.exists()
    signal_process(pid, signal.SIGKILL)


def test_a_parent_that_ignores_its_children_is_no_way_round(watched: Watched, made: Path) -> None:
    """In stop mode the kernel's own message to the parent is what stops a process again."""
    parent = watched.run(
        "import signal\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        "if child == 0: os.execv('tiny', ['tiny'])\n"
        "say(child)\n"
        "sys.stdin.readline()\n"
        "for _ in range(1000):\n"
        "    try: os.kill(child, signal.SIGCONT)\n"
        "    except PermissionError: pass\n"
        "say('sent')\n"
        "sys.stdin.readline()\n"
    )
    pid = int(parent.line())
    watched.next_hold(pid)
    wait_state(pid, "T")
    for _ in range(100):
        signal_process(pid, signal.SIGCONT)  # ours are let through
    parent.tell()
    assert parent.line() == "sent"
    time.sleep(0.2)
    assert state(pid) == "T"
    assert not made.exists()


@pytest.mark.parametrize(
    "way", ["os.posix_spawn('tiny', ['tiny'], {})", "subprocess.Popen(['./tiny']).pid"]
)
def test_the_parent_of_a_held_program_is_not_blocked(
    watched: Watched, made: Path, way: str
) -> None:
    """vfork and posix_spawn: the parent goes on while its child is held."""
    parent = watched.run(f"import subprocess\nchild = {way}\nsay(child)\nsys.stdin.readline()")
    pid = int(parent.line())
    held = watched.next_hold(pid)
    wait_state(pid, "T")
    assert not made.exists()
    watched.let_go(held)
    while not made.exists():
        time.sleep(0.01)


def test_a_second_thread_is_held_by_itself(watched: Watched, made: Path) -> None:
    """An approval of what one thread does is none of what another does at the same time."""
    child = watched.run(
        "both = threading.Barrier(2)\n"
        "def read(name):\n"
        "    both.wait()\n"
        "    say(name, open(name).read())\n"
        "threads = [threading.Thread(target=read, args=(n,)) for n in ('secret', 'secret-2')]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]; say('end')\n"
    )
    held = watched.let_all_go(child)
    while len(held) < 2:
        held += watched.let_all_go(child)
    assert {one.act.path for one in held} == {
        str(watched.place / "secret"),
        str(watched.place / "secret-2"),
    }
    assert len({one.act.tid for one in held}) == 2
    lines = {child.line(), child.line()}
    assert lines == {"secret secret", "secret-2 second"}
    assert child.line() == "end"


def test_a_handler_runs_after_the_answer_and_the_call_is_still_made(
    watched: Watched, made: Path
) -> None:
    """A signal that comes while a call is held: neither is lost."""
    child = watched.run(
        "import signal\n"
        "signal.signal(signal.SIGUSR1, lambda *_: say('handler'))\n"
        "say('ready'); say(os.read(os.open('secret', os.O_RDONLY), 99).decode())\n"
    )
    assert child.line() == "ready"
    held = watched.next_hold(child)
    child.wait_stopped()
    signal.pidfd_send_signal(child.descriptor, signal.SIGUSR1)
    time.sleep(0.1)
    assert state(child.pid) == "T"
    watched.let_go(held, child)
    assert {child.line(), child.line()} == {"handler", "secret"}


def test_a_watched_process_cannot_trace_a_held_one(watched: Watched, made: Path) -> None:
    """Nor read or write its memory: what was shown is what is decided."""
    child = watched.run([watched.place / "tiny"])
    held = watched.next_hold(child)
    child.wait_stopped()
    tracer = watched.run(
        f"pid = {child.pid}\n"
        "def attempt(what):\n"
        "    try: what(); say('done')\n"
        "    except OSError as error: say(error.errno)\n"
        "attempt(lambda: call(101, 0x4206, pid, 0, 0))\n"
        "attempt(lambda: call(101, 16, pid, 0, 0))\n"
        "attempt(lambda: open(f'/proc/{pid}/mem', 'r+b'))\n"
    )
    assert tracer.line() == str(errno.EPERM)
    assert tracer.line() == str(errno.EPERM)
    assert tracer.line() in (str(errno.EACCES), str(errno.EPERM))
    assert tracer.end() == 0
    assert not made.exists()
    watched.let_go(held, child)
    assert child.end() == 0


def test_a_tracer_from_before_cannot_let_its_process_run_on(watched: Watched, made: Path) -> None:
    """It is asked about each stop, may discard it, and gets nowhere."""
    tracer = watched.run(
        "child = os.fork()\n"
        "if child == 0:\n"
        "    call(101, 0, 0, 0, 0)\n"
        "    os.execv('tiny', ['tiny'])\n"
        "say(child)\n"
        "for _ in range(200):\n"
        "    found, status = os.waitpid(child, 0)\n"
        "    if os.WIFEXITED(status) or os.WIFSIGNALED(status): say('ended'); break\n"
        "    call(101, 7, child, 0, 0)\n"
        "say('tired')\n"
        "sys.stdin.readline()\n"
    )
    pid = int(tracer.line())
    watched.next_hold(pid)
    assert tracer.line() == "tired"
    assert not made.exists()
    signal_process(pid, signal.SIGKILL)


def test_a_held_call_in_a_pid_namespace_s_first_process_is_held(
    watched: Watched, made: Path
) -> None:
    """Which ignores signals that it has no handler for, SIGSTOP of its own user's too."""
    child = watched.run(
        [
            "/usr/bin/unshare",
            "--user",
            "--map-root-user",
            "--pid",
            "--fork",
            *python("say(open('secret').read())"),
        ]
    )
    held = watched.next_hold()
    assert held.act.process.pid != child.pid
    wait_state(held.act.process.pid, "T")
    watched.let_go(held)
    assert child.rest() == "secret\n"

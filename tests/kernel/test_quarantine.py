"""Quarantine in the kernel: whoever is labelled meanwhile is stopped before it has run."""

import os
import select
import signal
import time
from pathlib import Path

import pytest

from agent.release import ProcessId
from agent.sensor.interface import Caught
from agent.sensor.labels import started_ns
from tests.support.started import Started, signal_process, state, wait_state
from tests.support.tiny_elf import write_creator
from tests.support.watched import PINS, Watched

pytestmark = pytest.mark.kernel

OFTEN = 100


@pytest.fixture
def made(watched: Watched) -> Path:
    """What the tiny program makes by its first instructions."""
    write_creator(watched.place / "tiny", watched.place / "made")
    return watched.place / "made"


@pytest.fixture(autouse=True)
def lifted(watched: Watched) -> object:
    """End each test with nobody in quarantine."""
    yield
    if watched.is_open:
        watched.sensor.quarantine(())
        watched.sensor.quarantine((), settled=True)
        watched.sensor.caught()


def caught(watched: Watched, process: Started | int) -> Caught:
    """Wait until the kernel has told that it has stopped a process."""
    pid = process if isinstance(process, int) else process.pid
    poll = select.poll()
    poll.register(watched.sensor.holds_fd(), select.POLLIN)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for one in watched.sensor.caught():
            if one.process.pid == pid:
                return one
        poll.poll(100)
    raise AssertionError(f"nobody has told of {pid}")


def link() -> Path:
    """Return where the program on every system call's return is attached."""
    return PINS / "links" / "on_quarantine_return"


def test_a_program_that_is_started_does_not_run_its_first_instruction(
    watched: Watched, made: Path
) -> None:
    """A hundred in a row: each is told by its number, and none has made its file."""
    assert watched.sensor.quarantine({"ai"})
    for _ in range(OFTEN):
        child = watched.run([watched.place / "tiny"])
        told = caught(watched, child)
        assert told.subject == "ai"
        child.wait_stopped()
        assert told.process.tick == ProcessId(child.pid, started_ns(child.pid)).tick
        assert watched.sensor.is_caught(told.process)
    assert not made.exists()


def test_a_process_that_is_forked_does_not_run_its_first_instruction(watched: Watched) -> None:
    """The parent has run when the quarantine came; neither it nor its child goes further."""
    parent = watched.run(
        "say('ready')\nsys.stdin.readline()\n"
        "child = os.fork()\n"
        "open(f'made-{os.getpid()}', 'w').close()\n"
        "time.sleep(60)\n".replace("time.", "__import__('time').")
    )
    assert parent.line() == "ready"
    watched.sensor.quarantine({"ai"})
    parent.tell()
    caught(watched, parent)
    parent.wait_stopped()
    # Let it run on, as who may signal it could: it gets as far as its next system call's return.
    for _ in range(200):
        parent.resume()
        caught(watched, parent)
        parent.wait_stopped()
        if below := _children(parent.pid):
            break
    (child,) = below
    assert caught_before(watched, child)
    wait_state(child, "T")
    assert not list(watched.place.glob(f"made-{child}"))
    signal_process(child, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def caught_before(watched: Watched, pid: int) -> bool:
    """Return whether the label of a process has the mark of the quarantine, soon."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found = [one for one in watched.sensor.labelled("ai") if one.pid == pid]
        if found and watched.sensor.is_caught(found[0]):
            return True
        time.sleep(0.01)
    return False


def test_who_takes_on_the_user_is_stopped_by_what_labels_it(watched: Watched) -> None:
    """Without a program being started: by a fork, after which neither goes on."""
    watched.sensor.quarantine({"ai"})
    user = watched.accounts.watched
    child = watched.run(
        f"os.setresgid({user.pw_gid}, {user.pw_gid}, {user.pw_gid})\n"
        f"os.setresuid({user.pw_uid}, {user.pw_uid}, {user.pw_uid})\n"
        "say('before')\n"
        "os.fork()\n"
        "open(f'made-{os.getpid()}', 'w').close()\n",
        user=0,
        group=0,
    )
    assert child.line() == "before"
    told = {one.process.pid for one in (caught(watched, child), *watched.sensor.caught())}
    child.wait_stopped()
    (forked,) = _children(child.pid)
    assert forked in told or caught_before(watched, forked)
    wait_state(forked, "T")
    assert not list(watched.place.glob("made-*"))
    signal_process(forked, signal.SIGKILL)


def test_nobody_else_is_stopped(watched: Watched, made: Path) -> None:
    """Of another user, or of a subject that is in none."""
    watched.sensor.quarantine({"nobody of that name"})
    assert not link().exists()
    assert watched.run([watched.place / "tiny"]).end() == 0
    made.unlink()
    watched.sensor.quarantine({"ai"})
    other = watched.run([watched.place / "tiny"], user=watched.accounts.other.pw_uid)
    assert other.end() == 0
    assert made.exists()
    assert watched.sensor.caught() == []


def test_it_is_in_force_while_no_agent_is_there_and_after_a_restart(
    watched: Watched, made: Path
) -> None:
    """The map is pinned. Who was stopped meanwhile is told to the agent that comes."""
    watched.sensor.quarantine({"ai"})
    watched.stop()
    child = watched.run([watched.place / "tiny"])
    child.wait_stopped()
    watched.start()
    assert link().exists()
    assert caught(watched, child).subject == "ai"
    assert not made.exists()
    watched.sensor.quarantine(())
    child.resume()
    assert child.end() == 0
    assert made.exists()


def test_lifting_empties_the_map(watched: Watched, made: Path) -> None:
    """And takes the program away that every process pays for."""
    watched.sensor.quarantine({"ai"})
    assert link().exists()
    watched.sensor.quarantine(())
    assert not link().exists()
    assert watched.run([watched.place / "tiny"]).end() == 0


def test_a_full_ring_hides_nobody(watched: Watched) -> None:
    """What could not be told is in the labels."""
    watched.sensor.quarantine({"ai"})
    child = watched.run("while True: os.getppid()")
    caught(watched, child)
    for _ in range(1500):  # more than the ring has room for
        child.wait_stopped()
        child.resume()
    child.wait_stopped()
    last = watched.run("pass")
    last.wait_stopped()
    told = {one.process.pid for one in watched.sensor.caught()}
    assert told >= {child.pid, last.pid}


def test_a_mark_of_an_earlier_quarantine_counts_no_more(watched: Watched) -> None:
    """Whoever is stopped by somebody else since then is not taken for one of ours."""
    watched.sensor.quarantine({"ai"})
    child = watched.run("sys.stdin.readline()")
    process = caught(watched, child).process
    child.wait_stopped()
    watched.sensor.quarantine(())
    watched.sensor.quarantine((), settled=True)
    child.resume()
    wait_state(child.pid, "S")
    os.kill(child.pid, signal.SIGSTOP)
    child.wait_stopped()
    watched.sensor.quarantine({"ai"})
    assert not watched.sensor.is_caught(process)
    assert state(child.pid) == "T"

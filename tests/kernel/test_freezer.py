"""Frozen cgroups of this kernel: who is in one runs nothing, and comes back as it was."""

import os
import select
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import procfs
from agent.errors import ControlError
from agent.freezer import Freezer, Job
from agent.processes import ProcessControl, Resumed
from agent.release import ProcessId, Release
from agent.sensor.labels import cgroup_mount
from tests.support.children import Child, child, start_ns
from tests.support.started import wait_gone
from wire.ids import HoldId
from wire.messages import Ground

pytestmark = pytest.mark.kernel

NAME = "holdfast-test"
# Says a line whenever it runs on after a SIGCONT, and whenever it is told to.
TALKER = """
import signal, sys
signal.signal(signal.SIGCONT, lambda *_: print("ran", flush=True))
print("up", flush=True)
while True: signal.pause()
"""
THREADS = """
import threading, time
for _ in range(3): threading.Thread(target=time.sleep, args=(3600,)).start()
print("up", flush=True)
"""


@pytest.fixture
def mount() -> Path:
    """Where cgroup v2 is mounted."""
    found = cgroup_mount()
    assert found is not None
    return found


@pytest.fixture
def freezer(mount: Path) -> Iterator[Freezer]:
    """A freezer that leaves nothing behind."""
    made = Freezer(mount, NAME)
    yield made
    made.sweep()
    assert not list(mount.rglob(f"{NAME}-held-*"))


@pytest.fixture
def talker() -> Iterator[Child]:
    """A process that says when it runs."""
    with child(("/usr/bin/python3", "-c", TALKER)) as one:
        assert one.line() == "up\n"
        yield one


@pytest.fixture
def one() -> Iterator[Child]:
    """A process that does nothing."""
    with child() as started:
        yield started


def named(one: Child) -> ProcessId:
    """Return the name of a child."""
    return ProcessId(one.pid, one.start_ns)


def cell_of(one: Child) -> str:
    """Return how the name of a child's cgroup begins while it is frozen."""
    return f"{NAME}-held-{one.pid}-{one.start_ns // procfs.TICK_NS}-"


def wait_frozen(freezer: Freezer, process: ProcessId) -> None:
    """Return once it is frozen; the kernel tells who polls cgroup.events."""
    path = procfs.cgroup(process.pid)
    mount = cgroup_mount()
    assert path is not None
    assert mount is not None
    with (mount / path.lstrip("/") / "cgroup.events").open() as events:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        while not freezer.is_frozen(process):
            events.read()
            events.seek(0)
            poll.poll(1000)


def silent(one: Child) -> bool:
    """Return whether it has said nothing."""
    stdout = one._process.stdout
    assert stdout is not None
    return not select.select([stdout], [], [], 0)[0]


def release(process: ProcessId) -> Release:
    """Return a permit."""
    return Release(process=process, grounds={HoldId("a" * 32): Ground.EMERGENCY})


def test_a_frozen_process_runs_nothing_after_sigcont(freezer: Freezer, talker: Child) -> None:
    """A thousand of them change nothing; thawed, it runs its handler."""
    talker.stop()
    process = named(talker)
    assert freezer.freeze(process)
    wait_frozen(freezer, process)
    for _ in range(1000):
        os.kill(talker.pid, signal.SIGCONT)
    assert freezer.is_frozen(process)
    assert silent(talker)
    freezer.thaw(process)
    assert talker.line() == "ran\n"


def test_it_is_put_back_where_it_came_from(freezer: Freezer, mount: Path, one: Child) -> None:
    """Into the very cgroup, and the cell is gone."""
    home = mount / f"{NAME}-home"
    home.mkdir()
    try:
        (home / "cgroup.procs").write_text(str(one.pid))
        freezer.freeze(named(one))
        inside = procfs.cgroup(one.pid)
        assert inside is not None
        assert inside.startswith(f"/{home.name}/{cell_of(one)}")
        freezer.thaw(named(one))
        assert procfs.cgroup(one.pid) == f"/{home.name}"
        assert not list(home.glob(f"{NAME}-held-*"))
        (mount / "cgroup.procs").write_text(str(one.pid))
    finally:
        home.rmdir()


def test_where_a_user_may_move_processes_it_is_kept_above(
    freezer: Freezer, mount: Path, one: Child
) -> None:
    """Who owns a cgroup could take the process out of one below; so it is not made there."""
    theirs = mount / f"{NAME}-theirs"
    theirs.mkdir()
    try:
        os.chown(theirs / "cgroup.procs", 65534, 65534)
        (theirs / "cgroup.procs").write_text(str(one.pid))
        freezer.freeze(named(one))
        assert (procfs.cgroup(one.pid) or "").startswith(f"/{cell_of(one)}")
        freezer.thaw(named(one))
        assert procfs.cgroup(one.pid) == f"/{theirs.name}"
        (mount / "cgroup.procs").write_text(str(one.pid))
    finally:
        theirs.rmdir()


def test_another_agent_finds_out_by_itself(mount: Path, freezer: Freezer, talker: Child) -> None:
    """Where it is and where it belongs is with the cgroup, not in the memory of who froze it."""
    process = named(talker)
    Freezer(mount, NAME).freeze(process)
    wait_frozen(freezer, process)
    assert freezer.freeze(process)  # it is already
    freezer.thaw(process)
    os.kill(talker.pid, signal.SIGCONT)
    assert talker.line() == "ran\n"


def test_a_home_that_is_gone_meanwhile_gives_way_to_the_one_above(
    freezer: Freezer, mount: Path, one: Child
) -> None:
    """A unit may end while one of its processes is held elsewhere."""
    theirs = mount / f"{NAME}-theirs"
    theirs.mkdir()
    os.chown(theirs / "cgroup.procs", 65534, 65534)
    (theirs / "cgroup.procs").write_text(str(one.pid))
    freezer.freeze(named(one))
    theirs.rmdir()
    freezer.thaw(named(one))
    assert procfs.cgroup(one.pid) == "/"


def test_who_is_let_go_before_the_move_is_never_frozen(mount: Path, talker: Child) -> None:
    """Moves come later than what was ordered; the last order counts, and nothing is left."""
    jobs: deque[Job] = deque()
    freezer = Freezer(mount, NAME, jobs.append)
    process = named(talker)
    talker.stop()
    assert freezer.freeze(process)
    assert not freezer.is_frozen(process)  # an empty cgroup is called frozen
    freezer.thaw(process)
    while jobs:
        jobs.popleft()()
    os.kill(talker.pid, signal.SIGCONT)
    assert talker.line() == "ran\n"
    assert procfs.cgroup(talker.pid) == "/"
    assert not list(mount.rglob(f"{NAME}-held-*"))


def test_a_cell_that_was_swept_away_before_the_move_is_made_again(
    mount: Path, freezer: Freezer, talker: Child
) -> None:
    """An agent that starts tidies up while it takes up what is held."""
    jobs: deque[Job] = deque()
    slow = Freezer(mount, NAME, jobs.append)
    process = named(talker)
    assert slow.freeze(process)
    freezer.sweep()
    while jobs:
        jobs.popleft()()
    wait_frozen(slow, process)
    slow.thaw(process)
    while jobs:
        jobs.popleft()()


def test_what_was_thawed_and_not_put_back_is_put_back_by_the_next(
    mount: Path, freezer: Freezer, talker: Child
) -> None:
    """The agent was killed in between; the process runs meanwhile."""
    jobs: deque[Job] = deque()
    dying = Freezer(mount, NAME, jobs.append)
    process = named(talker)
    talker.stop()
    dying.freeze(process)
    jobs.popleft()()
    wait_frozen(freezer, process)
    dying.thaw(process)
    os.kill(talker.pid, signal.SIGCONT)
    assert talker.line() == "ran\n"
    freezer.sweep()
    assert procfs.cgroup(talker.pid) == "/"


# Forks a child whenever it is told to, and says its number.
PARENT = """
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    child = os.fork()
    if not child:
        signal.signal(signal.SIGCONT, lambda *_: os.write(1, b"ran\\n"))
        os.write(1, b"%d\\n" % os.getpid())
        while True: signal.pause()
"""


@pytest.fixture
def family() -> Iterator["tuple[subprocess.Popen[str], Callable[[], int]]"]:
    """A process, and what makes it fork a child and returns its number."""
    parent = subprocess.Popen(
        ["/usr/bin/python3", "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    forked = []

    def fork() -> int:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write("now\n")
        parent.stdin.flush()
        forked.append(int(parent.stdout.readline()))
        return forked[-1]

    with parent:
        yield parent, fork
        for pid in forked:
            os.kill(pid, signal.SIGKILL)  # a child of the parent, which lives and reaps none
        parent.kill()
    for pid in forked:
        wait_gone(pid)


def test_a_child_that_is_forked_before_the_move_out_is_put_back_too(
    mount: Path, family: "tuple[subprocess.Popen[str], Callable[[], int]]"
) -> None:
    """It begins in its parent's cell, and is neither left there nor frozen with the parent."""
    jobs: deque[Job] = deque()
    freezer = Freezer(mount, NAME, jobs.append)
    parent, fork = family
    process = ProcessId(parent.pid, start_ns(parent.pid))
    freezer.freeze(process)
    jobs.popleft()()
    wait_frozen(freezer, process)
    freezer.thaw(process)
    child = fork()
    assert procfs.cgroup(child) == procfs.cgroup(parent.pid)
    freezer.freeze(process)
    os.kill(child, signal.SIGCONT)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ran\n"
    while jobs:
        jobs.popleft()()
    wait_frozen(freezer, process)
    assert procfs.cgroup(child) == "/"
    os.kill(child, signal.SIGCONT)
    assert parent.stdout.readline() == "ran\n"
    freezer.thaw(process)
    while jobs:
        jobs.popleft()()
    assert not list(mount.rglob(f"{NAME}-held-*"))


def test_a_child_that_is_held_in_its_parents_cell_goes_where_the_parent_belongs(
    mount: Path, family: "tuple[subprocess.Popen[str], Callable[[], int]]"
) -> None:
    """And its own cell lies beside the parent's, which would freeze it and could not be removed."""
    jobs: deque[Job] = deque()
    freezer = Freezer(mount, NAME, jobs.append)
    parent, fork = family
    process = ProcessId(parent.pid, start_ns(parent.pid))
    freezer.freeze(process)
    jobs.popleft()()
    freezer.thaw(process)
    pid = fork()
    child = ProcessId(pid, start_ns(pid))
    freezer.freeze(child)
    while jobs:
        jobs.popleft()()
    wait_frozen(freezer, child)
    assert procfs.cgroup(parent.pid) == "/"
    assert (procfs.cgroup(pid) or "").count("held") == 1
    freezer.thaw(child)
    while jobs:
        jobs.popleft()()
    assert procfs.cgroup(pid) == "/"
    assert not list(mount.rglob(f"{NAME}-held-*"))


def test_who_is_held_again_at_once_is_frozen_again(mount: Path, talker: Child) -> None:
    """The last cell is taken away meanwhile; no failure is told."""
    jobs: deque[Job] = deque()
    failures: list[str] = []
    freezer = Freezer(mount, NAME, jobs.append)
    freezer.on_failure = failures.append
    process = named(talker)
    for _ in range(3):
        assert freezer.freeze(process)
        while jobs:
            jobs.popleft()()
        wait_frozen(freezer, process)
        freezer.thaw(process)  # its move out is still to come when the next hold is
    while jobs:
        jobs.popleft()()
    assert failures == []
    assert not list(mount.rglob(f"{NAME}-held-*"))


def test_all_threads_are_frozen(freezer: Freezer) -> None:
    """Frozen is said only once every one of them is."""
    with child(("/usr/bin/python3", "-c", THREADS)) as one:
        assert one.line() == "up\n"
        freezer.freeze(named(one))
        wait_frozen(freezer, named(one))
        # A thread counts as frozen on its way to sleep there. The trap may have been inlined.
        while _sleeps_in(one.pid) - {"do_freezer_trap", "get_signal"}:
            os.sched_yield()
        assert len(list(procfs.threads(one.pid))) == 4


def _sleeps_in(pid: int) -> set[str]:
    """Return the kernel's functions that the threads of a process sleep in; 0 for none."""
    return {
        Path(f"/proc/{pid}/task/{thread.pid}/wchan").read_text() for thread in procfs.threads(pid)
    }


def test_one_that_has_ended_is_not_frozen_and_leaves_nothing(freezer: Freezer, one: Child) -> None:
    """Its number may be another's by now."""
    process = named(one)
    one.end()
    assert not freezer.freeze(process)
    freezer.thaw(process)


def test_what_cannot_be_frozen_is_named_with_its_place(tmp_path: Path, one: Child) -> None:
    """A directory that is no cgroup stands for a kernel that refuses."""
    (tmp_path / "cgroup.procs").touch()
    with pytest.raises(ControlError, match=f"process {named(one)}: cannot be frozen in {tmp_path}"):
        Freezer(tmp_path, NAME).freeze(named(one))


def test_without_a_cgroup_v2_nothing_is_frozen(one: Child) -> None:
    """And nothing else goes wrong."""
    nothing = Freezer(None, NAME)
    assert not nothing.freeze(named(one))
    assert not nothing.is_frozen(named(one))
    nothing.thaw(named(one))
    nothing.sweep()


def test_a_release_thaws_and_a_kill_needs_no_thaw(freezer: Freezer, mount: Path) -> None:
    """Both through the one module that signals."""
    control = ProcessControl(None, freezer)
    with child(("/usr/bin/python3", "-c", TALKER)) as runs, child() as dies:
        assert runs.line() == "up\n"
        for one in (runs, dies):
            one.stop()
            assert control.freeze(named(one))
            wait_frozen(freezer, named(one))
            assert control.is_still(named(one))
        assert control.resume(release(named(runs))) is Resumed.RUNNING
        assert runs.line() == "ran\n"
        control.kill(named(dies))
        assert dies.ended_by() == signal.SIGKILL
        control.close()
    assert not list(mount.rglob(f"{NAME}-held-*"))

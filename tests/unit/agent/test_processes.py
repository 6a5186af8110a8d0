"""Signals reach the process that was meant, or nobody."""

import asyncio
import os
import select
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from agent import procfs
from agent.errors import ControlError
from agent.processes import ProcessControl, Resumed
from agent.release import ProcessId, Release
from tests.support.children import Child, child, family
from wire.ids import HoldId
from wire.messages import Ground

# Its first thread ends by itself, the other one stays.
LEADERLESS = """
import ctypes, os, threading, time
threading.Thread(target=lambda: (print("up", flush=True), time.sleep(3600))).start()
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)
"""

THREADED = """
import threading, time
threading.Thread(target=lambda: (print("up", flush=True), time.sleep(3600))).start()
"""


@pytest.fixture
def control() -> Iterator[ProcessControl]:
    """A control that watches nothing."""
    made = ProcessControl()
    yield made
    made.close()


def named(one: Child, *, later_ns: int = 0) -> ProcessId:
    """Return the name of a child."""
    return ProcessId(one.pid, one.start_ns + later_ns)


def seen(one: Child) -> procfs.Stat:
    """Return what /proc says of a child."""
    found = procfs.stat(one.pid)
    assert found is not None
    return found


def release(process: ProcessId) -> Release:
    """Return a permit."""
    return Release(process=process, grounds={HoldId("a" * 32): Ground.EMERGENCY})


def test_a_stopped_process_runs_on_after_a_release(control: ProcessControl, one: Child) -> None:
    """And the answer says that it does."""
    one.stop()
    assert control.is_still(named(one))
    assert control.resume(release(named(one))) is Resumed.RUNNING
    assert one.runs()


def test_the_kernels_nanoseconds_name_the_same_process(control: ProcessControl, one: Child) -> None:
    """/proc cuts the start time off to ticks; a tick earlier or later is another process."""
    last = procfs.TICK_NS - 1
    assert control.is_alive(named(one, later_ns=last))
    assert not control.is_alive(named(one, later_ns=procfs.TICK_NS))
    assert not control.is_alive(named(one, later_ns=-1))


def test_a_process_with_the_pid_of_another_is_not_signalled(
    control: ProcessControl, one: Child
) -> None:
    """Neither resumed, nor stopped, nor killed."""
    wrong = named(one, later_ns=-procfs.TICK_NS)
    one.stop()
    assert control.resume(release(wrong)) is Resumed.GONE
    control.kill(wrong)
    assert control.kill_tree(wrong) == 0
    assert one.stopped()


def test_a_process_that_has_exited_is_not_alive(control: ProcessControl, one: Child) -> None:
    """Also while its parent has not asked for its status."""
    name = named(one)
    assert control.is_alive(name)
    control.kill(name)
    os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)
    assert procfs.stat(one.pid) is not None
    assert not control.is_alive(name)
    control.drop(name)
    assert not control.is_alive(name)


def test_the_agent_and_init_are_never_signalled(control: ProcessControl) -> None:
    """Whatever the kernel's map says."""
    for pid in (0, 1, os.getpid()):
        with pytest.raises(ControlError, match="ever signalled"):
            control.kill(ProcessId(pid, 1))


def test_a_tree_is_killed_whole(control: ProcessControl) -> None:
    """Root and child, and both are counted."""
    with family() as (parent, pid):
        grown = ProcessId(pid, procfs.stat(pid).start_ticks * procfs.TICK_NS)  # type: ignore[union-attr]
        descriptor = os.pidfd_open(pid)
        assert control.kill_tree(named(parent)) == 2
        assert parent.ended_by() == signal.SIGKILL
        select.select([descriptor], [], [])  # it is gone
        os.close(descriptor)
        assert not control.is_alive(grown)


def test_a_thread_that_starts_during_the_look_counts_as_running(
    control: ProcessControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were listed are stopped, and one that was not listed is not."""
    with child((sys.executable, "-c", THREADED)) as one:
        assert one.line() == "up\n"
        one.stop()
        assert control.is_still(named(one))
        listed = [thread for thread in procfs.threads(one.pid) if thread.pid == one.pid]
        monkeypatch.setattr(procfs, "threads", lambda pid: iter(listed))
        assert not control.is_still(named(one))


def test_the_children_of_whoever_has_a_members_pid_now_are_left_alone(
    control: ProcessControl, one: Child, other: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the time of the look its pid was that of a later process, which has a child."""
    later = replace(seen(one), start_ticks=seen(one).start_ticks + 1)
    stranger = replace(seen(other), parent=one.pid)
    monkeypatch.setattr(procfs, "everyone", lambda: iter((later, stranger)))
    assert control.kill_tree(named(one)) == 1
    assert one.ended_by() == signal.SIGKILL
    assert other.runs()


def test_the_children_of_a_member_that_ended_during_the_look_are_left_alone(
    control: ProcessControl, one: Child, other: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pid was free before the look was over, so whose children they are is not known."""
    stranger = replace(seen(other), parent=one.pid)

    def everyone() -> Iterator[procfs.Stat]:
        yield seen(one)
        os.kill(one.pid, signal.SIGKILL)
        one.ended_by()
        yield stranger

    monkeypatch.setattr(procfs, "everyone", everyone)
    control.kill_tree(named(one))
    assert other.runs()


async def test_an_exit_calls_back_once(one: Child) -> None:
    """An event, not a poll; and none for a process that is gone already."""
    control = ProcessControl(asyncio.get_running_loop())
    ended = asyncio.Event()
    name = named(one)
    assert control.watch_exit(name, ended.set)
    control.kill(name)
    await ended.wait()
    assert one.ended_by() == signal.SIGKILL
    assert not control.watch_exit(name, ended.set)
    control.close()


def test_a_process_whose_leader_has_exited_is_still_and_resumed_like_any_other(
    control: ProcessControl,
) -> None:
    """Its leader is a zombie, which says nothing about the threads that live on."""
    with child((sys.executable, "-c", LEADERLESS)) as one:
        name = named(one)
        assert one.line() == "up\n"
        while one.state() != "Z":
            os.sched_yield()
        assert control.is_alive(name)
        assert not control.is_still(name)
        control.stop(name)
        while not control.is_still(name):
            os.sched_yield()
        assert control.resume(release(name)) is Resumed.RUNNING
        control.kill(name)
        assert one.ended_by() == signal.SIGKILL

"""The one module that signals processes, and has them frozen. A process is a pidfd, checked once by
its start time: a pid that was given to another process in the meantime is never signalled.
"""

import asyncio
import errno
import os
import select
import signal
from collections.abc import Callable, Iterable
from enum import StrEnum

from agent import procfs
from agent.errors import ControlError
from agent.freezer import Freezer
from agent.release import Lift, ProcessId, Release


class Resumed(StrEnum):
    """What was found right after SIGCONT."""

    RUNNING = "running"
    STOPPED = "stopped"  # it did run on, and is stopped again: a later act, or another's signal
    GONE = "gone"


class ProcessControl:
    """Stops, resumes and kills processes, and calls back when one has exited.

    A process that was asked about stays open as a pidfd until `drop`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None = None, freezer: Freezer | None = None
    ) -> None:
        self._loop = loop
        self._freezer = freezer or Freezer(None, "")
        self._open: dict[ProcessId, int] = {}
        self._watched: set[ProcessId] = set()

    def is_alive(self, process: ProcessId) -> bool:
        """Return whether any thread of the process has yet to exit; raise ControlError."""
        descriptor = self._descriptor(process)
        return descriptor is not None and not _exited(descriptor)

    def is_still(self, process: ProcessId) -> bool:
        """Return whether no living thread of the process can run: all are frozen, or stopped."""
        return self.is_alive(process) and (
            self._freezer.is_frozen(process) or self._is_stopped(process)
        )

    @staticmethod
    def _is_stopped(process: ProcessId) -> bool:
        seen = {thread.pid: thread.state for thread in procfs.threads(process.pid)}
        # A leader that has exited before its threads is a zombie; it says nothing about them.
        leader_is_gone = seen.get(process.pid) == "Z"
        stopped = sum(state in "Tt" for state in seen.values())
        # Counted by the kernel afterwards: a thread that was started during the look is missing
        # from it, and those that are stopped can start no more.
        now = procfs.stat(process.pid)
        return stopped > 0 and now is not None and now.threads == stopped + leader_is_gone

    def watch_exit(self, process: ProcessId, call: Callable[[], None]) -> bool:
        """Call once the process has exited; False, and no call, if it has already."""
        assert self._loop is not None, "watching needs the loop that was given at the start"
        descriptor = self._descriptor(process)
        if descriptor is None or _exited(descriptor):
            return False
        self._watched.add(process)
        self._loop.add_reader(descriptor, self._on_exit, process, call)
        return True

    def stop(self, process: ProcessId) -> None:
        """Send SIGSTOP; raise ControlError if it cannot be sent. A process that is gone is fine."""
        self._send(process, signal.SIGSTOP)

    def freeze(self, process: ProcessId) -> bool:
        """Have a process frozen, so that no signal but SIGKILL counts; return whether it will be.

        Raises ControlError if it cannot be done here; it then is no more than stopped.
        """
        return self.is_alive(process) and self._freezer.freeze(process)

    def resume(self, release: Release) -> Resumed:
        """Send SIGCONT and thaw, then look whether it worked; raise ControlError if it cannot be.

        Frozen until the last, so that what went wrong before leaves it as it was.
        """
        if not isinstance(release, Release):
            raise ControlError("nothing runs on without a release that names its grounds")
        if not self.is_alive(release.process) or not self._send(release.process, signal.SIGCONT):
            return Resumed.GONE
        self._freezer.thaw(release.process)
        # The kernel wakes the threads before the call returns, so this is no race with the wake.
        if not self.is_alive(release.process):
            return Resumed.RUNNING  # it has run on, to its end
        return Resumed.STOPPED if self._is_stopped(release.process) else Resumed.RUNNING

    def lift(self, lift: Lift) -> None:
        """Let a process of a quarantine run on; raise ControlError, and it stays frozen."""
        if not isinstance(lift, Lift):
            raise ControlError("nothing runs on without a permit that says why")
        if not self.is_alive(lift.process):
            return
        if not lift.before:
            self._send(lift.process, signal.SIGCONT)
        self._freezer.thaw(lift.process)

    def is_stopped(self, process: ProcessId) -> bool:
        """Return whether a process is stopped by signals, frozen or not."""
        return self.is_alive(process) and self._is_stopped(process)

    def parents(self, process: ProcessId, since_ns: int) -> list[ProcessId]:
        """Return the processes above one, nearest first, that started at `since_ns` or later."""
        found: list[ProcessId] = []
        at = procfs.stat(process.pid)
        while at is not None and at.parent > 1:
            at = procfs.stat(at.parent)
            if at is None or at.start_ticks < since_ns // procfs.TICK_NS:
                break
            found.append(ProcessId(at.pid, at.start_ticks * procfs.TICK_NS))
        return found

    def wake_parents(self, release: Release, parents: Iterable[ProcessId]) -> None:
        """Send SIGCONT to those above a released process that have stopped because it had."""
        if not isinstance(release, Release):
            raise ControlError("nothing runs on without a release that names its grounds")
        for parent in parents:
            if self.is_alive(parent) and self._is_stopped(parent):
                self._send(parent, signal.SIGCONT)
            if parent not in self._watched:
                self.drop(parent)

    def kill(self, process: ProcessId) -> None:
        """Send SIGKILL; raise ControlError if it cannot be sent. A process that is gone is fine."""
        self._send(process, signal.SIGKILL)

    def kill_tree(self, process: ProcessId, others: Iterable[ProcessId] = ()) -> int:
        """Kill the process, `others`, and all that descend from them; return how many.

        Each is stopped when it is found, and the search goes on until it finds nobody new, so
        none can fork away between being seen and being killed.
        """
        found: dict[ProcessId, None] = {}
        try:
            fresh = [root for root in (process, *others) if self.is_alive(root)]
            while fresh:
                for member in fresh:
                    found[member] = None
                    self.stop(member)
                everyone = list(procfs.everyone())
                # Asked after the look: as long as one lives, nobody else can have had its pid.
                roots = [member for member in found if self.is_alive(member)]
                fresh = [child for child in _descendants(roots, everyone) if self.is_alive(child)]
        finally:
            # Whatever went wrong in the search, those that were found are stopped: end them.
            killed = sum(self._send(member, signal.SIGKILL) for member in reversed(found))
            for member in found:
                if member not in self._watched:
                    self.drop(member)
        return killed

    def drop(self, process: ProcessId) -> None:
        """Forget a process: close its pidfd and call nobody about it."""
        descriptor = self._open.pop(process, None)
        if descriptor is None or _exited(descriptor):
            self._freezer.drop(process)
        if descriptor is None:
            return
        self._unwatch(process, descriptor)
        os.close(descriptor)

    def close(self) -> None:
        """Forget every process; those that are frozen stay so."""
        for process in list(self._open):
            self.drop(process)
        self._freezer.sweep()

    def _send(self, process: ProcessId, number: signal.Signals) -> bool:
        descriptor = self._descriptor(process)
        if descriptor is None:
            return False
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        except OSError as error:
            raise ControlError(
                f"process {process}: {number.name} cannot be sent: {error.strerror}; the agent "
                "must run as root"
            ) from error
        return True

    def _descriptor(self, process: ProcessId) -> int | None:
        """Return the pidfd of the process, None if it is gone."""
        descriptor = self._open.get(process)
        if descriptor is None:
            descriptor = _open(process)
            if descriptor is not None:
                self._open[process] = descriptor
        return descriptor

    def _on_exit(self, process: ProcessId, call: Callable[[], None]) -> None:
        self._unwatch(process, self._open[process])
        call()

    def _unwatch(self, process: ProcessId, descriptor: int) -> None:
        if process in self._watched:
            assert self._loop is not None
            self._watched.discard(process)
            self._loop.remove_reader(descriptor)


def _open(process: ProcessId) -> int | None:
    if process.pid <= 1 or process.pid == os.getpid():
        raise ControlError(f"process {process}: neither init nor the agent is ever signalled")
    # Opened first, compared afterwards: if the pid still belongs to the process then, it did
    # when the pidfd was opened, since a pid is not given twice while its owner lives.
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    except OSError as error:
        # A thread that has taken the number of a process that is gone.
        if error.errno == errno.EINVAL:
            return None
        raise ControlError(
            f"process {process}: cannot be opened: {error.strerror}; raise the agent's limit of "
            "open files (LimitNOFILE)"
        ) from error
    found = procfs.stat(process.pid)
    if found is None or found.start_ticks != process.start_ns // procfs.TICK_NS:
        os.close(descriptor)
        return None
    return descriptor


def _exited(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _descendants(roots: Iterable[ProcessId], everyone: Iterable[procfs.Stat]) -> list[ProcessId]:
    """Return all that descend from `roots`, with start times at the resolution of /proc.

    A root whose pid another process had at the time of the look has no descendants.
    """
    by_pid = {found.pid: found for found in everyone}
    family = {
        root.pid
        for root in roots
        if root.pid in by_pid and by_pid[root.pid].start_ticks == root.start_ns // procfs.TICK_NS
    }
    new: list[ProcessId] = []
    grew = True
    while grew:
        grew = False
        for found in by_pid.values():
            if found.pid not in family and found.parent in family:
                family.add(found.pid)
                new.append(ProcessId(found.pid, found.start_ticks * procfs.TICK_NS))
                grew = True
    return new

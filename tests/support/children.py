"""Real processes that a test starts, stops as the kernel would, and ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from agent import procfs
from wire.acts import Act, Guarantee, Kind, Process, identity

_SLEEP = ("sleep", "3600")
# A parent and a child; the child's pid is printed once it runs.
_FAMILY = (
    "import subprocess, sys\n"
    "child = subprocess.Popen(['sleep', '3600'])\n"
    "print(child.pid, flush=True)\n"
    "child.wait()\n"
)


class Child:
    """One process of the test. It is ended with the block that made it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.pid = process.pid
        self.start_ns = start_ns(self.pid)

    def stop(self) -> None:
        """Stop it, as the kernel does, and return once it is stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        self.wait_stopped()

    def wait_stopped(self) -> None:
        """Return once it is stopped, by whomever."""
        os.waitpid(self.pid, os.WUNTRACED)

    def runs(self) -> bool:
        """Return whether it is there and not stopped."""
        found = procfs.stat(self.pid)
        return found is not None and found.state not in "TtZX"

    def state(self) -> str:
        """Return the state of its first thread, as /proc shows it."""
        found = procfs.stat(self.pid)
        return found.state if found else ""

    def stopped(self) -> bool:
        """Return whether it is stopped."""
        found = procfs.stat(self.pid)
        return found is not None and found.state == "T"

    def ended_by(self) -> int:
        """Wait for its end; return the signal that ended it, 0 for none."""
        return max(-self._process.wait(), 0)

    def line(self) -> str:
        """Return the next line that it prints."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def end(self) -> None:
        """End it."""
        if self._process.returncode is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def child(command: tuple[str, ...] = _SLEEP) -> Iterator[Child]:
    """Start a process, by default one that does nothing."""
    with _started(command) as one:
        yield one


@contextmanager
def family() -> Iterator[tuple[Child, int]]:
    """Start a process with a child of its own; yield it and the pid of that child."""
    with _started((sys.executable, "-c", _FAMILY)) as parent:
        pid = int(parent.line())
        try:
            yield parent, pid
        finally:
            descriptor = _open(pid)
            if descriptor is not None:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                os.close(descriptor)


def start_ns(pid: int) -> int:
    """Return the start time of a process at the resolution of /proc."""
    found = procfs.stat(pid)
    assert found is not None
    return found.start_ticks * procfs.TICK_NS


def open_act(one: Child, path: str = "/etc/shadow", *, session: str = "") -> Act:
    """Return the act of a child that opens a file."""
    process = Process(pid=one.pid, start_ns=one.start_ns, comm="sleep", uid=os.getuid())
    return Act(
        kind=Kind.OPEN,
        guarantee=Guarantee.STOPPED,
        time_ns=1_700_000_000_000_000_000,
        boot_ns=1_000_000_000,
        subject="ai-worker",
        session=session or identity(process),
        process=process,
        tid=one.pid,
        gid=os.getgid(),
        executable="/usr/bin/sleep",
        path=path,
        flags=("read",),
    )


def _open(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


@contextmanager
def _started(command: tuple[str, ...]) -> Iterator[Child]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    one = Child(process)
    try:
        yield one
    finally:
        one.end()

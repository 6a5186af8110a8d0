"""One process that a test started: waited for by events, signalled by pidfd only."""

import os
import select
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

PYTHON = "/usr/bin/python3"
# What a test's code may use at once. `call` is syscall(2); a failure is an OSError.
PRELUDE = """
import ctypes, os, socket, struct, sys, threading
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
def call(number, *arguments):
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = _libc.syscall(ctypes.c_long(number), *given)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def say(*words):
    os.write(1, (" ".join(str(word) for word in words) + "\\n").encode())
"""


def python(code: str) -> list[str]:
    """Return the command that runs `code` with the prelude under the system's Python."""
    return [PYTHON, "-I", "-S", "-c", PRELUDE + code]


class Started:
    """A child of the test."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.pid = process.pid
        self.descriptor = os.pidfd_open(self.pid)

    def wait_stopped(self) -> None:
        """Return once it is stopped; fail if it ends instead."""
        found = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert found is not None
        assert found.si_code == os.CLD_STOPPED, f"{self.pid} has ended: {found}"
        assert state(self.pid) == "T"

    def resume(self) -> None:
        """Let it run on."""
        signal.pidfd_send_signal(self.descriptor, signal.SIGCONT)

    def kill(self) -> None:
        """Kill it and wait for its end."""
        if self.process.returncode is None:
            signal.pidfd_send_signal(self.descriptor, signal.SIGKILL)
            self.process.wait()

    def line(self) -> str:
        """Return the next line that it says; empty at its end."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().rstrip("\n")

    def tell(self, text: str = "go") -> None:
        """Give it a line to read."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())
        self.process.stdin.flush()

    def end(self) -> int:
        """Wait for its end by itself; return its exit code, negative for a signal."""
        return self.process.wait()

    def rest(self) -> str:
        """Wait for its end; return all that it still had to say."""
        assert self.process.stdout is not None
        said = self.process.stdout.read().decode()
        self.process.wait()
        return said

    def close(self) -> None:
        """End it if it runs, and give everything back."""
        self.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        os.close(self.descriptor)


def state(pid: int) -> str:
    """Return the state letter of a process, or of a thread; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def signal_process(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that a test's children started, unless it is gone."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)


def wait_state(pid: int, letter: str) -> None:
    """Return once a process that is no child of ours is in a state. Nothing announces that."""
    while state(pid) != letter:
        assert state(pid), f"{pid} is gone"
        os.sched_yield()


def wait_gone(pid: int) -> None:
    """Return once a process that is no child of ours has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([descriptor], [], [])
    os.close(descriptor)

"""Processes that act as a watched one does, with a kernel side made of files (see file_sensor).

Each act makes its entry, is stopped, and leaves a line in the actor's own file once it was let go:
that line, and not a state in /proc, tells whether anything has run.
"""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

_ACTOR = """
import json, os, random, signal, sys, time
place, done, stops, *paths = sys.argv[1:]
# It wakes the process all the same; blocked, each one is counted.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCONT})
ticks = int(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19])
wake = os.open(f"{place}/wake", os.O_RDWR | os.O_NONBLOCK)
record = os.open(done, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
for path in paths:
    key = random.SystemRandom().getrandbits(62)
    entry = {"pid": os.getpid(), "start_ns": ticks * (10**9 // os.sysconf("SC_CLK_TCK")),
             "path": path, "time_ns": time.time_ns(),
             "boot_ns": time.clock_gettime_ns(time.CLOCK_BOOTTIME)}
    with open(f"{place}/.{key}", "w") as file:
        json.dump(entry, file)
    os.rename(f"{place}/.{key}", f"{place}/{key}")
    try:
        os.write(wake, b"!")
    except BlockingIOError:
        pass
    # An agent that was quick has stopped and let go already.
    if stops == "stops" and signal.SIGCONT not in signal.sigpending():
        os.kill(os.getpid(), signal.SIGSTOP)
    signal.sigwait({signal.SIGCONT})
    os.write(record, f"{path}\\n".encode())
"""


class Actor:
    """One acting process, a child of the test."""

    def __init__(self, held: Path, done: Path, paths: Sequence[str], *, stops: bool) -> None:
        """`held` is the map, `done` the actor's own file.

        `stops`: the stop comes with the act; otherwise only the agent's own will stop it.
        """
        self.paths = tuple(paths)
        self._done = done
        self._process = subprocess.Popen(
            ["/usr/bin/python3", "-I", "-S", "-c", _ACTOR, str(held), str(done),
             "stops" if stops else "runs", *paths],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.pid = self._process.pid

    @property
    def kind(self) -> str:
        """What the path of its first act says of it."""
        return self.paths[0].split("/")[2]

    @property
    def ended(self) -> bool:
        """Return whether it has ended."""
        return self._process.poll() is not None

    @property
    def ran(self) -> tuple[str, ...]:
        """The acts that were let go so far, in order."""
        try:
            return tuple(self._done.read_text(encoding="utf-8").split())
        except FileNotFoundError:
            return ()

    def kill(self) -> None:
        """End it, as root on the host or the kernel's out-of-memory killer may."""
        self._process.send_signal(signal.SIGKILL)

    def end(self, timeout_s: float) -> int:
        """Wait for its end; return the signal that ended it, 0 for none."""
        return max(-self._process.wait(timeout_s), 0)

    def close(self) -> None:
        """End it, if it is there."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()

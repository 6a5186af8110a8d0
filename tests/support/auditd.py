"""An audit daemon of the tests' own that passes records on: its af_unix plugin is on.

Its settings, log and socket are in a directory of its own, and it is ended by its pid. The kernel
knows one audit daemon and one set of rules, so nothing is started where somebody else uses audit.
"""

import fcntl
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.bench.auditing import KEY, SETTINGS, auditctl, check_unused, status
from tests.support.inside import PATIENCE

_PLUGIN = """
active = yes
direction = out
path = builtin_af_unix
type = builtin
args = 0600 {socket}
format = string
"""
_BACKLOG, _WAIT = 8192, 60000
_WAIT_S, _LOOK_S = 20 * PATIENCE, 0.02


class Auditd:
    """One daemon that can be ended and started again."""

    def __init__(self, directory: Path, *, queue: int = 2000) -> None:
        """`queue` is how many records wait for the plugin before the daemon drops some."""
        self.directory = directory
        self.socket = directory / "events"
        plugins = directory / "plugins.d"
        plugins.mkdir(parents=True)
        directory.chmod(0o700)
        settings = SETTINGS.format(directory=directory).lstrip()
        _write(directory / "auditd.conf", settings.replace("q_depth = 2000", f"q_depth = {queue}"))
        _write(plugins / "af_unix.conf", _PLUGIN.format(socket=self.socket).lstrip())
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The daemon's pid."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Return once the kernel has it as its daemon and its plugin listens."""
        output = (self.directory / "auditd.out").open("ab")
        directory = str(self.directory)
        with output:
            self._process = subprocess.Popen(
                # It ends with tests that are killed, too.
                ["setpriv", "--pdeathsig", "TERM", "/usr/sbin/auditd", "-n", "-c", directory],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + _WAIT_S
        while not (status()["pid"] == self.pid and self.socket.exists()):
            said = (self.directory / "auditd.out").read_text(errors="replace")
            assert self._process.poll() is None, f"auditd has ended: {said}"
            assert time.monotonic() < end, f"auditd is not ready after {_WAIT_S} s: {said}"
            time.sleep(_LOOK_S)  # nothing announces it

    def send(self, number: signal.Signals) -> None:
        """Send it a signal: it is our own child."""
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, and return once the kernel knows."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            process.wait(_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with suppress(FileNotFoundError):
            self.socket.unlink()  # one that was killed leaves it


@contextmanager
def auditd(directory: Path, *, queue: int = 2000) -> Iterator[Auditd]:
    """Have one run; rules with our key, and what it has changed in the kernel, go with it."""
    with _alone():
        yield from _running(Auditd(directory, queue=queue))


@contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other run of the tests uses audit."""
    # Held until it is closed, and not inherited.
    descriptor = os.open("/etc/audit", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _running(one: Auditd) -> Iterator[Auditd]:
    check_unused()
    before = status()
    try:
        one.start()
        auditctl("-b", str(_BACKLOG))
        auditctl("--backlog_wait_time", str(_WAIT))
        yield one
    finally:
        remove_rules()
        one.end()
        auditctl("-b", str(before["backlog_limit"]))
        auditctl("--backlog_wait_time", str(before["backlog_wait_time"]))
        auditctl("-e", str(before["enabled"]))


def rules() -> list[str]:
    """Return the audit rules with our key."""
    return [line for line in auditctl("-l").splitlines() if line.endswith(f"key={KEY}")]


def remove_rules() -> None:
    """Take out what has our key."""
    for line in rules():
        auditctl("-d", *line.split(" ")[1:])


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o640)


def wait_readable(descriptor: int, seconds: float = _WAIT_S) -> bool:
    """Return whether there is something to read within that time."""
    return bool(select.select([descriptor], [], [], seconds)[0])

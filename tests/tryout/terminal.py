"""Running deploy/try as a person does, and seeing that nothing of it is left."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.tryout import places, processes, user

CHECKOUT = Path(__file__).resolve().parents[2]
TRY = CHECKOUT / "deploy" / "try"
# Long enough for a busy machine; a run that hangs fails the test instead of the whole layer.
_AGAIN_S = 0.5
PATIENCE_S = 120.0
_PLACES = (places.ROOM, places.PINS, *places.PINS_IN_MAKING, places.USER_HOME)


class Run:
    """One deploy/try at a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        # Its own session, whose terminal is ours to type at and to close.
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.environ["COLUMNS"] = "200"
            os.execv(str(TRY), [str(TRY), *arguments])  # noqa: S606
        self.text = ""
        self._read_to = 0

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until the output since the last expectation holds `pattern`."""
        until = time.monotonic() + PATIENCE_S
        while True:
            found = re.search(pattern, self.text[self._read_to :])
            if found:
                self._read_to += found.end()
                return found
            if not self._read(until):
                pytest.fail(f"{pattern!r} did not come; the output was:\n{self.text}")

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._terminal, keys.encode())

    def expect_question(self) -> None:
        """Wait until an answer is asked for."""
        self.expect(r"\[a\] approve   \[d\] deny")

    def answer(self, key: str, reason: str) -> None:
        """Answer by key and reason, each when it is asked for."""
        self.expect_question()
        self.press(key, r"reason \(")
        self.type(f"{reason}\r")

    def press(self, key: str, until: str) -> None:
        """Press a key again and again until it is heard: what comes before the question is not."""
        while not re.search(until, self.text[self._read_to :]):
            self.type(key)
            again = time.monotonic() + _AGAIN_S
            # Its echo alone is no answer, and one key too many would be typed into the next line.
            while (left := again - time.monotonic()) > 0:
                if select.select([self._terminal], [], [], left)[0]:
                    self._read(time.monotonic() + PATIENCE_S)
                if re.search(until, self.text[self._read_to :]):
                    break
        self.expect(until)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the terminal's side of the run."""
        os.kill(self.pid, number)

    def keeper(self) -> processes.Seen:
        """Return the keeper, which is the only child of the terminal's side."""
        (found,) = [seen for seen in processes.descendants(self.pid) if seen.parent == self.pid]
        return found

    def exit_code(self) -> int:
        """Wait for the end; return the exit code, negative for a signal."""
        until = time.monotonic() + PATIENCE_S
        while self._read(until):
            pass
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        """Close the terminal, and end what has not ended by itself."""
        os.close(self._terminal)
        try:
            os.kill(self.pid, signal.SIGTERM)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            return  # it has ended, as it should

    def _read(self, until: float) -> bool:
        """Read some output; return whether there can be more."""
        left = until - time.monotonic()
        if left <= 0 or not select.select([self._terminal], [], [], left)[0]:
            pytest.fail(f"deploy/try said nothing more; the output was:\n{self.text}")
        try:
            data = os.read(self._terminal, 65536)
        except OSError:
            return False  # the last process at the terminal has gone
        self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", data.decode(errors="replace"))
        return bool(data)


def what_is_left() -> list[str]:
    """Return everything of the try-out that is still on this machine."""
    left = [str(p) for p in _PLACES if p.exists()]
    if user.find() is not None:
        left.append(f"user {places.USER}")
    for seen in processes.everyone():
        try:
            command = Path(f"/proc/{seen.pid}/cmdline").read_bytes()
        except OSError:
            continue
        if str(places.ROOM).encode() in command or b"deploy.tryout" in command:
            left.append(f"process {seen.pid}: {command!r}")
    return left


def wait_for_the_keeper() -> None:
    """Wait until no process holds the room of a run any more."""
    try:
        descriptor = os.open(places.ROOM, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def unattended(*arguments: str, prefix: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
    """Run deploy/try without a terminal to its end."""
    return subprocess.run(
        [*prefix, str(TRY), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )

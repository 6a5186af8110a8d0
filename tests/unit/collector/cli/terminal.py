"""A child process on a terminal of its own, watched and typed at as a person would."""

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parents[4]
_PATIENCE_S = 30.0


class Terminal:
    """What is on the screen, and the keyboard."""

    def __init__(self, words: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.screen = ""
        self._read_to = 0
        self.process = subprocess.Popen(
            # setsid, of util-linux, makes it the controlling terminal, so that Ctrl-C is a signal.
            ["setsid", "--ctty", sys.executable, "-m", "collector.cli", *words],
            cwd=REPOSITORY,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "120", **environment},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)

    def wait_for(self, text: str) -> str:
        """Wait until a text appears that was not waited for before; return what came up to it."""
        deadline = time.monotonic() + _PATIENCE_S
        while text not in self.screen[self._read_to :]:
            assert self._more(deadline), f"it ended without {text!r}:\n{self.screen}"
        start = self._read_to
        self._read_to = self.screen.index(text, start) + len(text)
        return self.screen[start : self._read_to]

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._master, text.encode())

    def end(self) -> int:
        """Wait until the process ends; return its exit code."""
        deadline = time.monotonic() + _PATIENCE_S
        while self._more(deadline):
            pass
        return self.process.wait(_PATIENCE_S)

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def attributes(self) -> list[object]:
        """Return the terminal's settings, to compare."""
        return termios.tcgetattr(self._master)

    def _more(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"nothing more came on the screen:\n{self.screen}"
        try:
            data = os.read(self._master, 65_536)
        except OSError:
            # Linux says EIO when the last one has closed the other side.
            return False
        self.screen += data.decode("utf-8", "replace")
        return bool(data)


@contextmanager
def terminal(*words: str, **environment: str) -> Iterator[Terminal]:
    """Run `holdfast` with these words on a terminal."""
    made = Terminal(words, environment)
    try:
        yield made
    finally:
        made.close()

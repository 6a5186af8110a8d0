"""One person's keyboard: a key or a line, and a wait that something else can end.

What was typed before a question was on the screen is thrown away, so that no key meant for one
request can answer another. The terminal's settings are put back on every way out.
"""

import contextlib
import os
import select
import termios
import tty
from collections.abc import Callable, Iterator

_LONGEST_LINE = 4096
_CTRL_D = b"\x04"


def always() -> bool:
    """Say that a question still stands, whatever happened."""
    return True


class Keyboard:
    """Reads from a terminal. A byte on `wake` makes a wait ask whether its question stands."""

    def __init__(self, terminal: int, wake: int | None = None) -> None:
        """`terminal` and `wake` are file descriptors; `wake` is emptied here."""
        self._terminal = terminal
        self._wake = wake

    def key(self, put: Callable[[], None], stands: Callable[[], bool] = always) -> str | None:
        """Put a question and return the next key, or None once the question no longer stands.

        Raise EOFError at Ctrl-D and when the terminal is gone.
        """
        with self._mode(tty.setcbreak):
            # Only now: a key pressed as soon as the question is seen must count.
            put()
            return self._read(64, stands, lambda typed: typed[:1])

    def line(self, stands: Callable[[], bool] = always) -> str | None:
        """Return the next line without outer blanks, or None, or raise, as `key` does."""
        return self._read(_LONGEST_LINE, stands, bytes.strip)

    def _read(
        self, size: int, stands: Callable[[], bool], part: Callable[[bytes], bytes]
    ) -> str | None:
        if not self._ready(stands):
            return None
        try:
            typed = os.read(self._terminal, size)
        except OSError as error:
            raise EOFError from error
        # A terminal that is gone must never count as an empty line, which may be an answer.
        if typed in (b"", _CTRL_D):
            raise EOFError
        return part(typed).decode("utf-8", "replace")

    @contextlib.contextmanager
    def _mode(self, change: Callable[[int, int], object]) -> Iterator[None]:
        before = termios.tcgetattr(self._terminal)
        # TCSAFLUSH also discards what was typed before the question.
        change(self._terminal, termios.TCSAFLUSH)
        try:
            yield
        finally:
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, before)

    def _ready(self, stands: Callable[[], bool]) -> bool:
        """Wait for input; return False as soon as the question no longer stands."""
        watched = [self._terminal] if self._wake is None else [self._terminal, self._wake]
        while True:
            ready, _, _ = select.select(watched, [], [])
            if self._wake is not None and self._wake in ready:
                os.read(self._wake, 4096)
                if not stands():
                    return False
            if self._terminal in ready:
                return True

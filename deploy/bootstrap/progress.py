"""Shows each step of the set-up as it runs: in place on a terminal, line by line elsewhere."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_MARKS = {"done": "✓", "failed": "✗", "plain": "·"}
_COLOURS = {"done": "32", "failed": "31", "plain": "36"}


class Progress:
    """Writes steps to one stream; never raises because the terminal is gone."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._live = self._stream.isatty()
        self._colours = self._live and not os.environ.get("NO_COLOR")

    @contextmanager
    def step(self, title: str) -> Iterator["Step"]:
        """Show `title` while the body runs, then how long it took, or that it failed."""
        began = time.monotonic()
        step = Step(self, title)
        if self._live:
            step.detail("")
        try:
            yield step
        except BaseException:
            self._finish("failed", title, began)
            raise
        self._finish("done", title + (f": {step.note}" if step.note else ""), began)

    def done(self, title: str, seconds: float) -> None:
        """Write that a step that ran elsewhere is done."""
        self._write(f"{self._clear()}  {self._mark('done')} {title} ({seconds:.1f} s)\n")

    def line(self, text: str) -> None:
        """Write one line that is not a step."""
        self._write(f"{self._clear()}  {self._mark('plain')} {text}\n")

    def transient(self, text: str) -> None:
        """Show `text` in place until the next line, where the stream can do that."""
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            self._write(f"{self._clear()}{text[:width]}")

    def _finish(self, state: str, title: str, began: float) -> None:
        seconds = time.monotonic() - began
        self._write(f"{self._clear()}  {self._mark(state)} {title} ({seconds:.1f} s)\n")

    def _mark(self, state: str) -> str:
        mark = _MARKS[state]
        return f"\x1b[{_COLOURS[state]}m{mark}\x1b[0m" if self._colours else mark

    def _clear(self) -> str:
        return "\r\x1b[K" if self._live else ""

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            # The terminal was closed. What is being shown matters less than what is being undone.
            self._live = False


class Step:
    """One step that is under way."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._title = title
        self.note = ""

    def detail(self, text: str) -> None:
        """Show what the step is doing at this moment."""
        tail = f"  {text.strip()}" if text.strip() else ""
        self._progress.transient(f"  … {self._title}{tail}")

"""The file of checkpoints beside the trail: a line for each, and what a crash has left is mended.

What is in it is never changed: a file that does not go with the trail is put aside, not mended.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from collector.errors import ProofError
from collector.proof.anchors import append
from collector.proof.checkpoint import read

log = logging.getLogger(__name__)

_LONGEST_LINE = 1 << 20


class CheckpointFile:
    """Appends what is missing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number: int | None = None  # of the last line, once it was looked at

    def bring_up(self, lines_after: Callable[[int], Sequence[tuple[int, str]]]) -> None:
        """Append the checkpoints that are not there; `lines_after` gives number and line of those.

        Raises ProofError.
        """
        try:
            if self._number is None:
                self._number = self._look(lines_after)
            while lines := lines_after(self._number):
                for number, line in lines:
                    append(self._path, line)
                    self._number = number
        except OSError as error:
            self._number = None
            raise ProofError(f"{self._path}: {error}") from error

    def _look(self, lines_after: Callable[[int], Sequence[tuple[int, str]]]) -> int:
        """Return the number of the last line, 0 for none."""
        last = self._last_line()
        if not last:
            return 0
        try:
            number = read(last)[0].number
            if (number, last) in lines_after(number - 1)[:1]:
                return number
            why = f"its checkpoint {number} is not that of the trail"
        except ProofError as error:
            why = str(error)
        aside = self._path.with_name(f"{self._path.name}.{time.time_ns()}")
        os.rename(self._path, aside)
        log.error("%s: %s; put aside as %s, and begun anew", self._path, why, aside.name)
        return 0

    def _last_line(self) -> str:
        """Return the last whole line, without what a crash has left behind it."""
        if not self._path.exists():
            return ""
        with self._path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - 2 * _LONGEST_LINE)
            file.seek(start)
            tail = file.read()
            whole = tail.rfind(b"\n") + 1
            if whole < len(tail):
                log.warning("%s: the last line was not whole, and is taken out", self._path)
                file.truncate(start + whole)
                os.fsync(file.fileno())
        return tail[:whole].rstrip(b"\n").rpartition(b"\n")[2].decode(errors="replace")

"""What nothing new refers to, kept while somebody may still read by an older list."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

log = logging.getLogger(__name__)


class Retired:
    """Deletes each file a grace time after the list without it was handed out."""

    def __init__(self, grace_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._grace_s = grace_s
        self.clock = clock
        self._lock = threading.Lock()
        self._added: dict[Path, float] = {}
        self._due: dict[Path, float] = {}

    def add(self, paths: Iterable[Path], *, in_list: bool = True) -> None:
        """Take files that were replaced just now; `in_list`: the list of before is still there."""
        now = self.clock()
        with self._lock:
            if in_list:
                self._added |= dict.fromkeys(paths, now)
            else:
                self._due |= dict.fromkeys(paths, now + self._grace_s)

    def handed_out(self, since: float) -> None:
        """A list made from what was there at `since`, by `clock`, is in place of the one before."""
        due = self.clock() + self._grace_s
        with self._lock:
            for path in [path for path, added in self._added.items() if added <= since]:
                del self._added[path]
                self._due[path] = due

    def delete_due(self) -> float | None:
        """Delete what has had its time; return seconds until the next file has, None: no file."""
        now = self.clock()
        with self._lock:
            due = [path for path, at in self._due.items() if at <= now]
        for path in due:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("trail: %s cannot be deleted: %s", path, error)
        with self._lock:
            for path in due:
                del self._due[path]
            return min(self._due.values()) - now if self._due else None

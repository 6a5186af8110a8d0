"""Our audit rules outlive an agent that was killed; a note on disk says by which key to find them.

So the next agent takes them out in whatever mode it runs, and so does an unload.
"""

import json
import logging
import os
from pathlib import Path

from agent.audit.kernelrules import KernelRules
from agent.errors import SensorError

log = logging.getLogger("holdfast.agent.audit")


class LeftRules:
    """The note. It is there from before the first rule is put into the kernel until all are out."""

    def __init__(self, path: Path) -> None:
        """`path` is a file that outlives the boot, for a directory that may not be there yet."""
        self._path = path

    def note(self, key: str) -> None:
        """Say that rules with this key may be in the kernel; raise SensorError."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = self._path.with_name(f".{self._path.name}")
            part.write_text(json.dumps({"key": key}), encoding="utf-8")
            part.replace(self._path)
        except OSError as error:
            raise SensorError(f"{self._path}: cannot be written: {error.strerror}") from error

    def forget(self) -> None:
        """Say that none is."""
        self._path.unlink(missing_ok=True)

    def take_out(self, but: str = "") -> int:
        """Remove what an earlier agent has left, unless its key is `but`; return how many rules.

        Raises SensorError that says what to do where they cannot be removed.
        """
        key = self._key()
        if not key or key == but:
            return 0
        rules = KernelRules(key)
        count = len(rules.there())
        if count:
            rules.remove()
        self.forget()
        return count

    def _key(self) -> str:
        try:
            with open(self._path, encoding="utf-8", opener=_without_links) as file:
                key = json.load(file)["key"]
        except FileNotFoundError:
            return ""
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s: cannot be read: %s", self._path, error)
            return ""
        return key if isinstance(key, str) else ""


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)

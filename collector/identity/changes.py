"""Tells when the file of identities was written to, also by a command in another process."""

import asyncio
import ctypes
import errno
import logging
import os
import struct
from pathlib import Path

log = logging.getLogger(__name__)

_IN_MODIFY = 0x2
_IN_MOVE_SELF = 0x800
_IN_DELETE_SELF = 0x400
_IN_CREATE = 0x100
_IN_MOVED_TO = 0x80
_WRITTEN = _IN_MODIFY | _IN_MOVE_SELF | _IN_DELETE_SELF
# SQLite makes its write-ahead log anew, and a copy may be put in the place of the file.
_APPEARED = _IN_CREATE | _IN_MOVED_TO
_READ = 64 * (struct.calcsize("iIII") + 256)
_libc = ctypes.CDLL(None, use_errno=True)


class FileChanges:
    """`changed` is set at each write to the file or its write-ahead log. Close it in the end."""

    def __init__(self, database: Path) -> None:
        """Begin at once; in the event loop."""
        self.changed = asyncio.Event()
        self._watched = (
            (os.fsencode(database.parent), _APPEARED),
            *((os.fsencode(f"{database}{end}"), _WRITTEN) for end in ("", "-wal")),
        )
        self._descriptor = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            why = os.strerror(ctypes.get_errno())
            log.warning("%s: changes are seen late: no inotify (%s)", database, why)
            return
        asyncio.get_running_loop().add_reader(self._descriptor, self._happened)
        self.watch()

    def watch(self) -> None:
        """Watch the files that have these names now; what is watched already stays so.

        To be called after each change, before the file is read.
        """
        if self._descriptor < 0:
            return
        for path, mask in self._watched:
            if _libc.inotify_add_watch(self._descriptor, path, mask) < 0:
                number = ctypes.get_errno()
                if number != errno.ENOENT:
                    log.warning("%s is not watched: %s", os.fsdecode(path), os.strerror(number))

    def close(self) -> None:
        """Let go."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _happened(self) -> None:
        try:
            os.read(self._descriptor, _READ)
        except BlockingIOError:
            return
        self.changed.set()

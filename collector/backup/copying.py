"""Copies files so that they are on disk when it returns, and says what was in them."""

import fcntl
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from collector.backup.manifest import Entry
from collector.errors import BackupError
from collector.trail.segments.files import sync_directory

_CHUNK = 1 << 20
_FICLONE = 0x40049409


def copy(source: Path, target: Path) -> Entry:
    """Copy a file under a new name, mode 0600, durably; return what was read; raise OSError."""
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as old, _new(target) as descriptor:
        while chunk := old.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            view = memoryview(chunk)
            while view:
                view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    return Entry(size, digest.hexdigest())


def clone(source: Path, target: Path) -> None:
    """Copy a file on one file system as fast as that can, not durably; raise OSError."""
    with source.open("rb") as old, _new(target) as descriptor:
        try:
            fcntl.ioctl(descriptor, _FICLONE, old.fileno())
            return
        except OSError:
            pass  # the file system shares no blocks
        left = os.fstat(old.fileno()).st_size
        while left and (sent := os.sendfile(descriptor, old.fileno(), None, left)):
            left -= sent
        if left:
            raise OSError(f"{source} became shorter while it was copied")


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy an SQLite file as it is between two transactions; raise OSError or sqlite3.Error."""
    with _new(target):
        pass
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, timeout=10)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)


def check(source: Path, entry: Entry, found: Entry) -> None:
    """Raise BackupError unless a file was what the manifest says."""
    if found != entry:
        why = (
            "was changed"
            if found.bytes == entry.bytes
            else f"has {found.bytes} bytes, not {entry.bytes}"
        )
        raise BackupError(f"{source}: {why} since the backup was made; take another backup")


def sync_tree(directory: Path) -> None:
    """See that all names under a directory are on disk."""
    for one in (directory, *(path for path in directory.rglob("*") if path.is_dir())):
        sync_directory(one)


@contextmanager
def scratch(directory: Path) -> Iterator[Path]:
    """Give a new directory for this user, without what an earlier run left; remove it at the end.

    Raises OSError.
    """
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(mode=0o700, parents=True)
    try:
        yield directory
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(directory)


@contextmanager
def _new(path: Path) -> Iterator[int]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)

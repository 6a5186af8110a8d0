"""SQLite files of the agent: private, write-ahead logged, checked when opened.

A file that is damaged is moved aside, never deleted: it may be evidence. Damaged is also one whose
pages are sound and whose rows cannot be meant.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.errors import JournalError

log = logging.getLogger("holdfast.agent.database")


@dataclass(frozen=True, slots=True)
class Opened:
    """An open database. `moved` is where a damaged file was put, None if it was sound."""

    connection: sqlite3.Connection
    moved: Path | None


def open_database(
    path: Path, schema: str, *, version: int, check: Callable[[sqlite3.Connection], None]
) -> Opened:
    """Open or make the database at `path`; raise JournalError naming the path and the remedy.

    `check` reads what is there as it will be read later, and raises ValueError for what cannot be.
    """
    moved = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            connection = _open(path, schema, version, check)
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            if not _is_damage(error):
                raise  # no space, no permission, locked: the file itself is not to blame
            why = " ".join(str(error).split())[:200]
            log.error("%s: damaged (%s); it is put aside", path, why)
            moved = _move_aside(path)
            connection = _open(path, schema, version, check)
    except (OSError, sqlite3.Error) as error:
        raise JournalError(
            f"{path}: cannot be opened: {error}; see to it that the disk has room and that the "
            "directory belongs to the agent's user"
        ) from error
    return Opened(connection, moved)


@contextmanager
def transaction(
    connection: sqlite3.Connection, place: Path, *, durable: bool = True
) -> Iterator[None]:
    """Commit all that is done within, or nothing; raise JournalError if the disk refuses.

    `durable` is for what must outlive a loss of power; without it only a crash is survived.
    """
    try:
        # Without FULL, a write-ahead log is not synced at commit.
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise JournalError(
            f"{place}: cannot be written: {error}; make room on that disk. Until then everything "
            "held stays held"
        ) from error


def _is_damage(error: Exception) -> bool:
    if not isinstance(error, sqlite3.OperationalError):
        return True
    # A table or column is not there, or a text is not UTF-8, of which Python tells without a code.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) == sqlite3.SQLITE_ERROR


def _open(
    path: Path, schema: str, version: int, check: Callable[[sqlite3.Connection], None]
) -> sqlite3.Connection:
    # SQLite would make the file with the umask's mode, and its logs copy the mode of the file.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        # Not quick_check: an index that lost a row would hide a hold, or a verdict that was used.
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        stored = connection.execute("PRAGMA user_version").fetchone()[0]
        if stored not in (0, version):
            raise JournalError(
                f"{path}: was written by another version of the agent (format {stored}, not "
                f"{version}); start that version, or move the file away"
            )
        if stored == 0:
            connection.executescript(f"BEGIN; {schema} PRAGMA user_version={version}; COMMIT;")
        check(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _move_aside(path: Path) -> Path:
    moved = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    for suffix in ("", "-wal", "-shm"):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(moved.with_name(moved.name + suffix))
    return moved

"""The SQLite file of identities: kept apart from the trail, so that no query of it can see one.

It is in write-ahead mode: the daemon reads while a command writes, and neither waits.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from collector.errors import StateError

_SCHEMA = """
CREATE TABLE token (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL,          -- SHA-256 of the secret half, hex
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    logins TEXT NOT NULL,          -- JSON list
    created_ns INTEGER NOT NULL,
    expires_ns INTEGER,            -- NULL: never
    revoked_ns INTEGER
) STRICT;
CREATE TABLE host (
    host TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    nkey TEXT NOT NULL UNIQUE,     -- public half
    enrolled_ns INTEGER NOT NULL
) STRICT;
"""
# By the version that they lead to; what is already there keeps its meaning. Labels are JSON, name
# to value; groups a JSON list.
_MIGRATIONS = {
    1: _SCHEMA,
    2: """
ALTER TABLE host ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE token ADD COLUMN groups TEXT NOT NULL DEFAULT '[]';
""",
}
_VERSION = max(_MIGRATIONS)


@contextmanager
def connect(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file, made and migrated if need be; commit at the end, roll back on an error."""
    try:
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        with closing(sqlite3.connect(path, timeout=10)) as connection:
            _migrate(connection)
            with connection:
                yield connection
    except sqlite3.DatabaseError as error:
        if not isinstance(error, sqlite3.OperationalError):
            raise damaged(path, str(error)) from error
        raise StateError(
            f"{path}: cannot be used ({error}); run as the collector's user, with space on the disk"
        ) from error
    except UnicodeDecodeError as error:  # in SQLite's own words about a damaged file
        raise damaged(path, str(error)) from error
    except (sqlite3.Error, OSError) as error:
        raise StateError(
            f"{path}: cannot be used ({error}); run as the collector's user, with space on the disk"
        ) from error


def damaged(path: Path, why: str) -> StateError:
    """Return the error for a file whose contents cannot be meant; nobody is let in by it."""
    return StateError(
        f"{path}: damaged ({why[:200]}); put a copy back, or move it away, make tokens anew and "
        "enrol the hosts anew"
    )


def _migrate(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == _VERSION:
        return
    if version > _VERSION:
        raise StateError(
            f"identities: written by a newer collector (schema {version}, this one knows "
            f"{_VERSION}); upgrade this collector"
        )
    connection.execute("PRAGMA journal_mode = WAL")
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for number in range(version + 1, _VERSION + 1):
            for statement in _MIGRATIONS[number].split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {_VERSION}")

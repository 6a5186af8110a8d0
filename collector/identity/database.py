"""The SQLite file of identities: kept apart from the trail, so that no query of it can see one.

It is in write-ahead mode: the daemon reads while a command writes, and neither waits.
"""

import asyncio
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from collector.errors import StateError

_T = TypeVar("_T")

# What each version of the schema adds to the one before; a file is brought up to the last one.
_FIRST = """
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
# A token of version 1 stays what it was: a person's own, made by an administrator. Labels are JSON,
# name to value; groups a JSON list.
_SIGNED_IN = """
CREATE TABLE person (
    id INTEGER PRIMARY KEY,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,         -- the provider's own name for the person, which never changes
    name TEXT NOT NULL UNIQUE,     -- what the trail shows
    names TEXT NOT NULL,           -- JSON list: other names by which the provider knows them
    role TEXT NOT NULL,
    groups TEXT NOT NULL,          -- JSON list
    logins TEXT NOT NULL,          -- JSON list
    authenticated_ns INTEGER NOT NULL,
    signed_in_ns INTEGER NOT NULL,
    known_until_ns INTEGER NOT NULL,
    UNIQUE (issuer, subject)
) STRICT;
CREATE TABLE session (
    digest TEXT PRIMARY KEY,       -- SHA-256 of the cookie, hex
    person INTEGER NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    authenticated_ns INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE link (
    channel TEXT NOT NULL,
    account TEXT NOT NULL,
    person INTEGER NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    linked_ns INTEGER NOT NULL,
    PRIMARY KEY (channel, account)
) STRICT;
CREATE TABLE link_code (
    digest TEXT PRIMARY KEY,       -- SHA-256 of the code, hex
    channel TEXT NOT NULL,
    account TEXT NOT NULL,
    label TEXT NOT NULL,
    expires_ns INTEGER NOT NULL
) STRICT;
ALTER TABLE host ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE token ADD COLUMN groups TEXT NOT NULL DEFAULT '[]';
ALTER TABLE token ADD COLUMN kind TEXT NOT NULL DEFAULT 'personal';
ALTER TABLE token ADD COLUMN scopes TEXT NOT NULL DEFAULT '[]';
ALTER TABLE token ADD COLUMN person INTEGER REFERENCES person (id) ON DELETE CASCADE;
ALTER TABLE token ADD COLUMN authenticated_ns INTEGER;
"""
# Who answers for what a machine asks: a JSON list. Nobody, for a token of before.
_RESPONSIBLE = """
ALTER TABLE token ADD COLUMN responsible TEXT NOT NULL DEFAULT '[]';
"""
# What was done with who is let in, and up to where each trail has it; see journal.
_JOURNAL = """
CREATE TABLE sign_in (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    what TEXT NOT NULL,
    via TEXT NOT NULL,
    person TEXT NOT NULL,
    role TEXT NOT NULL,
    outcome TEXT NOT NULL,
    proof TEXT NOT NULL,
    identity TEXT NOT NULL,
    reason TEXT NOT NULL,
    address TEXT NOT NULL,
    done_by TEXT NOT NULL,
    times INTEGER NOT NULL,
    time_ns INTEGER NOT NULL,
    sign_in TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE sign_in_copied (
    trail TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT;
"""
# Questions of the trail that somebody has saved for all.
_QUESTIONS = """
CREATE TABLE question (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    sql TEXT NOT NULL,
    "by" TEXT NOT NULL,
    saved_ns INTEGER NOT NULL
) STRICT;
"""
STEPS = (_FIRST, _SIGNED_IN, _RESPONSIBLE, _JOURNAL, _QUESTIONS)
_VERSION = len(STEPS)


@contextmanager
def connect(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file, made and migrated if need be; commit at the end, roll back on an error."""
    try:
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        with closing(sqlite3.connect(path, timeout=10)) as connection:
            _migrate(connection)
            connection.execute("PRAGMA foreign_keys = ON")
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
        for step in STEPS[version:]:
            for statement in step.split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {_VERSION}")


class Live:
    """One connection that stays open, so that the event loop can ask the file at each request.

    What was changed or put in the file's place counts at the next question.
    """

    def __init__(self, database: Path) -> None:
        self.database = database
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    async def ask(self, question: Callable[[sqlite3.Connection], _T]) -> _T:
        """Return what a question that only reads finds; raise StateError if it cannot be asked."""
        try:
            return question(self._open())
        except (sqlite3.Error, OSError):
            # Whatever needs waiting or mending is done in a thread, from a new connection.
            self.close()
            return await asyncio.to_thread(self._ask_anew, question)

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _ask_anew(self, question: Callable[[sqlite3.Connection], _T]) -> _T:
        with connect(self.database) as connection:
            return question(connection)

    def _open(self) -> sqlite3.Connection:
        """Return a connection to the file that has this name now; another may be put there."""
        found = os.stat(self.database)
        if self._connection is None or self._file != (found.st_dev, found.st_ino):
            self.close()
            self._connection = sqlite3.connect(self.database, timeout=0, isolation_level=None)
            self._file = (found.st_dev, found.st_ino)
            # Makes SQLite's own files, for which a disk that fills up later has no room.
            self._connection.execute("SELECT count(*) FROM token").fetchone()
        return self._connection


def texts(database: Path, whose: str, stored: str) -> tuple[str, ...]:
    """Return a stored JSON list of texts; raise StateError if it is none."""
    try:
        found = json.loads(stored)
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise ValueError("something that is no list of names")
    except (ValueError, RecursionError) as error:
        raise damaged(database, f"{whose} has {error}") from error
    return tuple(found)


def digest(secret: str) -> str:
    """Return how a secret is kept, in hex."""
    # A fast hash is right here: each secret is 256 random bits, there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()

"""People: a name, a role, the login users that are theirs, and bearer tokens that prove them."""

import asyncio
import hashlib
import hmac
import json
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from collector.errors import StateError
from collector.identity.database import connect, damaged

_DAY_NS = 86_400 * 10**9
_TOKEN = re.compile(r"hft_([0-9a-f]{12})_([0-9a-f]{64})")
# Compared against when the id is unknown, so that both answers take the same work.
_NOBODY = hashlib.sha256(b"").hexdigest()


class Role(StrEnum):
    """What a person may do; ordered from least to most."""

    VIEWER = "viewer"
    REVIEWER = "reviewer"
    ADMIN = "admin"

    @property
    def decides(self) -> bool:
        """Whether this role may approve and deny."""
        return self is not Role.VIEWER


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking, as proved by a token."""

    name: str
    role: Role
    logins: tuple[str, ...]
    token: str  # id of the token, never its secret
    groups: tuple[str, ...] = ()
    machine: bool = False  # a program's account, which decides nothing
    authenticated_ns: int | None = None  # when an identity provider last saw them; None: a token


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What is kept about a token; the secret is not among it. Times are nanoseconds (UTC)."""

    id: str
    name: str
    role: Role
    logins: tuple[str, ...]
    created_ns: int
    expires_ns: int | None
    revoked_ns: int | None
    groups: tuple[str, ...] = ()

    def state(self, now_ns: int) -> str:
        """Return valid, expired or revoked."""
        if self.revoked_ns is not None:
            return "revoked"
        if self.expires_ns is not None and self.expires_ns <= now_ns:
            return "expired"
        return "valid"


def create_token(
    database: Path,
    *,
    name: str,
    role: Role,
    logins: Sequence[str] = (),
    groups: Sequence[str] = (),
    days: int | None = None,
) -> str:
    """Return a new token, which is shown this once; raise StateError on a useless name or life."""
    if not name.strip() or name != name.strip() or any(ord(char) < 32 for char in name):
        raise StateError(f"--name {name!r}: give a plain name, best an address: alice@example.com")
    if days is not None and days < 1:
        raise StateError(f"--days {days}: a token must live for at least one day")
    token_id, secret = secrets.token_hex(6), secrets.token_hex(32)
    now = time.time_ns()
    with connect(database) as connection:
        connection.execute(
            "INSERT INTO token (id, digest, name, role, logins, groups, created_ns, expires_ns)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                token_id,
                _digest(secret),
                name,
                role.value,
                json.dumps(list(logins)),
                json.dumps(list(groups)),
                now,
                None if days is None else now + days * _DAY_NS,
            ),
        )
    return f"hft_{token_id}_{secret}"


def check_token(database: Path, token: str) -> Caller | None:
    """Return who a token proves, or None for any token that is wrong, expired or revoked."""
    with connect(database) as connection:
        return _proved(database, connection, token)


class Tokens:
    """Tells who tokens prove, from one open connection: quick enough for the event loop.

    The file is asked each time, so a token that was revoked is refused at once.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    async def check(self, token: str) -> Caller | None:
        """Return who a token proves, or None; raise StateError if the file cannot be used."""
        try:
            return _proved(self._database, self._open(), token)
        except (sqlite3.Error, OSError):
            # Whatever needs waiting or mending is done in a thread, from a new connection.
            self.close()
            return await asyncio.to_thread(check_token, self._database, token)

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _open(self) -> sqlite3.Connection:
        """Return a connection to the file that has this name now; another may be put there."""
        found = os.stat(self._database)
        if self._connection is None or self._file != (found.st_dev, found.st_ino):
            self.close()
            self._connection = sqlite3.connect(self._database, timeout=0, isolation_level=None)
            self._file = (found.st_dev, found.st_ino)
            # Makes SQLite's own files, for which a disk that fills up later has no room.
            self._connection.execute("SELECT count(*) FROM token").fetchone()
        return self._connection


def _proved(database: Path, connection: sqlite3.Connection, token: str) -> Caller | None:
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    token_id, secret = match.groups()
    row = connection.execute(
        "SELECT digest, name, role, logins, groups, expires_ns, revoked_ns FROM token WHERE id = ?",
        (token_id,),
    ).fetchone()
    same = hmac.compare_digest(row[0] if row else _NOBODY, _digest(secret))
    if row is None or not same:
        return None
    _, name, role, logins, groups, expires_ns, revoked_ns = row
    if revoked_ns is not None or (expires_ns is not None and expires_ns <= time.time_ns()):
        return None
    return Caller(
        name=name,
        role=_role(database, role),
        logins=_names(database, logins),
        token=token_id,
        groups=_names(database, groups),
    )


def known_people(database: Path) -> tuple[Caller, ...]:
    """Return everybody who could prove who they are now, each as a caller without a token."""
    now = time.time_ns()
    return tuple(
        Caller(name=one.name, role=one.role, logins=one.logins, token="", groups=one.groups)
        for one in list_tokens(database)
        if one.state(now) == "valid"
    )


def list_tokens(database: Path) -> tuple[TokenFacts, ...]:
    """Return every token ever made, oldest first."""
    with connect(database) as connection:
        rows = connection.execute(
            "SELECT id, name, role, logins, created_ns, expires_ns, revoked_ns, groups"
            " FROM token ORDER BY created_ns, id"
        ).fetchall()
    return tuple(
        TokenFacts(
            id=token_id,
            name=name,
            role=_role(database, role),
            logins=_names(database, logins),
            created_ns=created_ns,
            expires_ns=expires_ns,
            revoked_ns=revoked_ns,
            groups=_names(database, groups),
        )
        for token_id, name, role, logins, created_ns, expires_ns, revoked_ns, groups in rows
    )


def revoke_token(database: Path, token_id: str) -> bool:
    """End a token at once; return whether it was valid until now. Raise StateError if unknown."""
    with connect(database) as connection:
        known = connection.execute("SELECT 1 FROM token WHERE id = ?", (token_id,)).fetchone()
        if known is None:
            raise StateError(
                f"token {token_id!r} is unknown; `holdfast-collector token list` shows the ids"
            )
        changed = connection.execute(
            "UPDATE token SET revoked_ns = ? WHERE id = ? AND revoked_ns IS NULL",
            (time.time_ns(), token_id),
        )
        return changed.rowcount == 1


def _role(database: Path, role: str) -> Role:
    try:
        return Role(role)
    except ValueError as error:
        raise damaged(database, f"a token has {error}") from error


def _names(database: Path, names: str) -> tuple[str, ...]:
    try:
        found = json.loads(names)
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise ValueError("a list of names that is none")
    except (ValueError, RecursionError) as error:
        raise damaged(database, f"a token has {error}") from error
    return tuple(found)


def _digest(secret: str) -> str:
    # A fast hash is right here: the secret is 256 random bits, there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()

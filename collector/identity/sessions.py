"""Sessions of people who signed in with a browser. A cookie is a secret and kept as a digest."""

import asyncio
import hashlib
import re
import secrets
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from collector.identity.database import Live, connect, digest
from collector.identity.journal import Entry, Via, What, note
from collector.identity.people import Caller, caller_of
from collector.identity.signed_in import Person, find_person

_COOKIE = re.compile(r"hfs_[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Session:
    """One browser's sign-in. `csrf` is what its forms must carry; times are nanoseconds (UTC).

    `authenticated_ns` is 0 when the provider did not say when it last saw a proof.
    """

    caller: Caller
    csrf: str
    authenticated_ns: int
    expires_ns: int


class Sessions:
    """Makes, checks and ends sessions. A person's role and groups are those of the last sign-in."""

    def __init__(self, database: Path) -> None:
        self._live = Live(database)

    def create(
        self, person: Person, *, authenticated_ns: int, expires_ns: int, address: str = ""
    ) -> str:
        """Return the value of a new cookie for someone who has just signed in; it may block.

        `authenticated_ns` is of this sign-in: another browser's proof says nothing about it.
        """
        cookie = f"hfs_{secrets.token_hex(32)}"
        now = time.time_ns()
        with connect(self._live.database) as connection:
            connection.execute("DELETE FROM session WHERE expires_ns <= ?", (now,))
            connection.execute(
                "INSERT INTO session VALUES (?, ?, ?, ?, ?)",
                (digest(cookie), person.id, authenticated_ns, now, expires_ns),
            )
            note(connection, _entry(What.SIGN_IN, cookie, person, address))
        return cookie

    async def check(self, cookie: str) -> Session | None:
        """Return the session of a cookie, or None for one that is wrong, over or removed.

        Raise StateError if the file cannot be used.
        """
        if not _COOKIE.fullmatch(cookie):
            return None
        return await self._live.ask(lambda asked: self._find(asked, cookie))

    async def end(self, cookie: str, *, address: str = "") -> None:
        """End a session, if there is one."""
        if _COOKIE.fullmatch(cookie):
            await asyncio.to_thread(self._end, cookie, address)

    def close(self) -> None:
        """Let go of the file."""
        self._live.close()

    def _find(self, connection: sqlite3.Connection, cookie: str) -> Session | None:
        kept = digest(cookie)
        row = connection.execute(
            "SELECT person, authenticated_ns, expires_ns FROM session WHERE digest = ?", (kept,)
        ).fetchone()
        if row is None or row[2] <= time.time_ns():
            return None
        number, authenticated_ns, expires_ns = row
        person = find_person(self._live.database, connection, number)
        if person is None:
            return None
        caller = caller_of(
            self._live.database,
            connection,
            person,
            proof=_proof(cookie),
            authenticated_ns=authenticated_ns,
        )
        return Session(caller, _csrf(cookie), authenticated_ns, expires_ns)

    def _end(self, cookie: str, address: str) -> None:
        with connect(self._live.database) as connection:
            gone = connection.execute(
                "DELETE FROM session WHERE digest = ? RETURNING person", (digest(cookie),)
            ).fetchone()
            person = gone and find_person(self._live.database, connection, gone[0])
            if person:
                note(connection, _entry(What.SIGN_OUT, cookie, person, address))


def _entry(what: What, cookie: str, person: Person, address: str) -> Entry:
    return Entry(
        what=what,
        via=Via.BROWSER,
        person=person.name,
        role=person.role.value,
        proof=_proof(cookie),
        identity=person.identity,
        address=address,
    )


def _proof(cookie: str) -> str:
    """Return what names a session and is no secret."""
    return f"session-{digest(cookie)[:12]}"


def _csrf(cookie: str) -> str:
    # Follows from the cookie, so that nothing that is kept can stand for it.
    return hashlib.sha256(f"csrf:{cookie}".encode()).hexdigest()

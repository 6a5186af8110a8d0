"""Which account of a channel is which person: only who has signed in can say that one is theirs.

An account that nobody has claimed proves nobody, whatever it calls itself.
"""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from collector.errors import Refusal
from collector.identity.database import Live, connect, digest
from collector.identity.journal import Entry, What, note
from collector.identity.people import Caller, caller_of
from collector.identity.signed_in import find_person

_CODE_LIFE_NS = 600 * 10**9
_MOST_CODES = 10_000


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a code is about: `label` is how the channel shows the account to people."""

    channel: str
    account: str
    label: str


class Links:
    """Keeps which account belongs to whom."""

    def __init__(self, database: Path) -> None:
        self._live = Live(database)

    async def linked(self, channel: str, account: str) -> Caller | None:
        """Return the person whose account this is, or None.

        None as well once their last sign-in is too long ago to know that they are still here.
        """
        return await self._live.ask(lambda asked: self._find(asked, channel, account))

    async def accounts(self, channel: str, name: str) -> Sequence[str]:
        """Return the accounts on a channel that the person of this name has linked."""
        return await self._live.ask(lambda asked: _accounts(asked, channel, name))

    async def start_link(self, channel: str, account: str, label: str = "") -> str:
        """Return a code for ten minutes and one use, to be given to the account's holder alone."""
        return await asyncio.to_thread(self._start, Claimed(channel, account, label or account))

    async def claimed(self, code: str) -> Claimed:
        """Return what a code is about, to be shown before it is used; raise Refusal."""
        return await self._live.ask(lambda asked: _claimed(asked, code))

    async def finish_link(self, code: str, caller: Caller, *, address: str = "") -> Claimed:
        """Use a code: the account is the caller's from now on. Raise Refusal.

        The caller must have said yes to what `claimed` shows: whoever follows a link that someone
        else has sent would otherwise lend them their name.
        """
        return await asyncio.to_thread(self._finish, code, caller, address)

    def close(self) -> None:
        """Let go of the file."""
        self._live.close()

    def _find(self, connection: sqlite3.Connection, channel: str, account: str) -> Caller | None:
        row = connection.execute(
            "SELECT person FROM link WHERE channel = ? AND account = ?", (channel, account)
        ).fetchone()
        person = row and find_person(self._live.database, connection, row[0])
        if not person or person.known_until_ns <= time.time_ns():
            return None
        return caller_of(
            self._live.database,
            connection,
            person,
            proof=f"{channel}:{account}",
            authenticated_ns=person.authenticated_ns,
        )

    def _start(self, claimed: Claimed) -> str:
        code = secrets.token_urlsafe(32)
        now = time.time_ns()
        with connect(self._live.database) as connection:
            connection.execute(
                "DELETE FROM link_code WHERE expires_ns <= ? OR (channel = ? AND account = ?)",
                (now, claimed.channel, claimed.account),
            )
            (waiting,) = connection.execute("SELECT count(*) FROM link_code").fetchone()
            if waiting >= _MOST_CODES:
                raise Refusal(503, "busy", "too many accounts are being linked", "try again later")
            connection.execute(
                "INSERT INTO link_code VALUES (?, ?, ?, ?, ?)",
                (
                    *(digest(code), claimed.channel, claimed.account, claimed.label),
                    now + _CODE_LIFE_NS,
                ),
            )
        return code

    def _finish(self, code: str, caller: Caller, address: str) -> Claimed:
        with connect(self._live.database) as connection:
            connection.execute("BEGIN IMMEDIATE")
            claimed = _claimed(connection, code)
            person = connection.execute(
                "SELECT id, issuer, subject FROM person WHERE name = ?", (caller.name,)
            ).fetchone()
            if not caller.signed_in or person is None:
                raise Refusal(
                    403,
                    "not_signed_in",
                    f"{caller.name} has not signed in with the identity provider",
                    "sign in with a browser, then open the link again",
                )
            connection.execute("DELETE FROM link_code WHERE digest = ?", (digest(code),))
            connection.execute(
                "INSERT INTO link VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " person = excluded.person, linked_ns = excluded.linked_ns",
                (claimed.channel, claimed.account, person[0], time.time_ns()),
            )
            note(
                connection,
                Entry(
                    what=What.ACCOUNT_LINKED,
                    via=claimed.channel,
                    person=caller.name,
                    role=caller.role.value,
                    proof=f"{claimed.channel}:{claimed.account}",
                    identity=f"{person[1]} {person[2]}",
                    address=address,
                ),
            )
        return claimed


def _accounts(connection: sqlite3.Connection, channel: str, name: str) -> list[str]:
    rows = connection.execute(
        "SELECT account FROM link JOIN person ON person.id = link.person"
        " WHERE channel = ? AND lower(person.name) = lower(?) ORDER BY linked_ns",
        (channel, name),
    ).fetchall()
    return [row[0] for row in rows]


def _claimed(connection: sqlite3.Connection, code: str) -> Claimed:
    row = connection.execute(
        "SELECT channel, account, label FROM link_code WHERE digest = ? AND expires_ns > ?",
        (digest(code), time.time_ns()),
    ).fetchone()
    if row is None:
        raise Refusal(
            410,
            "link_expired",
            "this link is unknown, used or older than ten minutes",
            "press the button in the channel again for a new one",
        )
    return Claimed(*row)

"""What was done with who is let in: written down in the same transaction as the thing itself.

So nobody gets a session or token without a row, also from a command that runs beside the daemon and
while NATS is away; the daemon copies the rows into the trail, and into a new one all of them.
"""

import os
import pwd
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, fields
from enum import StrEnum
from pathlib import Path

from collector.identity.database import connect
from wire.ids import new_id

_NOBODY_LOGGED_IN = 0xFFFFFFFF


class What(StrEnum):
    """What was done."""

    SIGN_IN = "sign_in"
    SIGN_OUT = "sign_out"
    TOKEN_MADE = "token_made"  # noqa: S105 - the name of what was done
    TOKEN_REVOKED = "token_revoked"  # noqa: S105
    ACCOUNT_LINKED = "account_linked"
    PERSON_REMOVED = "person_removed"


class Via(StrEnum):
    """By which way, where it is no channel."""

    BROWSER = "browser"
    DEVICE = "device"  # `holdfast login`
    TOKEN = "token"  # the pages, with a token  # noqa: S105
    API = "api"
    ADMINISTRATION = "administration"  # a command at the centre


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row; the table sign_ins in docs/trail.md says what each field means."""

    what: str
    via: str
    person: str = ""
    role: str = ""
    outcome: str = "ok"
    proof: str = ""
    identity: str = ""
    reason: str = ""
    address: str = ""
    done_by: str = ""
    times: int = 1
    time_ns: int = field(default_factory=time.time_ns)
    sign_in: str = field(default_factory=new_id)


_NAMES = tuple(one.name for one in fields(Entry))
_COLUMNS = ", ".join(_NAMES)
_MARKS = ", ".join("?" * len(_NAMES))


def note(connection: sqlite3.Connection, entry: Entry) -> None:
    """Write it down in the transaction that is under way."""
    connection.execute(
        f"INSERT INTO sign_in ({_COLUMNS}) VALUES ({_MARKS})",  # noqa: S608 - fixed text
        astuple(entry),
    )


def note_token(
    connection: sqlite3.Connection, token_id: str, what: What, via: Via, *, address: str = ""
) -> None:
    """Write down what is being done with a token, in the transaction that does it."""
    name, role, kind, issuer, subject = connection.execute(
        "SELECT token.name, token.role, kind, issuer, subject FROM token"
        " LEFT JOIN person ON person.id = token.person WHERE token.id = ?",
        (token_id,),
    ).fetchone()
    entry = Entry(
        what=what,
        via=via,
        person=name,
        role=kind if kind == "machine" else role,
        proof=token_id,
        identity=f"{issuer} {subject}" if issuer else "",
        address=address,
        done_by=who_runs_this() if via is Via.ADMINISTRATION else "",
    )
    note(connection, entry)


def note_alone(database: Path, entry: Entry) -> None:
    """Write down what changes nothing else in the file; raise StateError. It may block."""
    with connect(database) as connection:
        note(connection, entry)


def not_copied(database: Path, trail: str, most: int) -> tuple[Sequence[Entry], int]:
    """Return the oldest entries that a trail has not, and the number of the last of them."""
    with connect(database) as connection:
        rows = connection.execute(
            f"SELECT number, {_COLUMNS} FROM sign_in WHERE number > coalesce("  # noqa: S608
            "(SELECT number FROM sign_in_copied WHERE trail = ?), 0) ORDER BY number LIMIT ?",
            (trail, most),
        ).fetchall()
    entries = [Entry(**dict(zip(_NAMES, row[1:], strict=True))) for row in rows]
    return entries, rows[-1][0] if rows else 0


def copied(database: Path, trail: str, number: int) -> None:
    """Remember that a trail has all entries up to this number."""
    with connect(database) as connection:
        connection.execute(
            "INSERT INTO sign_in_copied VALUES (?, ?) ON CONFLICT DO UPDATE SET"
            " number = excluded.number",
            (trail, number),
        )


def who_runs_this() -> str:
    """Return the user of this process, with the login user behind it where that is another."""
    user = _name(os.getuid())
    try:
        login = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        login = _NOBODY_LOGGED_IN
    if login in (_NOBODY_LOGGED_IN, os.getuid()):
        return user
    return f"{user} (login user {_name(login)})"


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

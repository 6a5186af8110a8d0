"""People who have signed in through the identity provider, as they were at their last sign-in.

Who is removed loses sessions, links and the tokens of `holdfast login` in the same moment.
"""

import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from collector.errors import Refusal, StateError
from collector.identity.database import connect, damaged, texts
from collector.identity.journal import Entry, Via, What, note, who_runs_this
from collector.identity.roles import Role

_COLUMNS = (
    "id, issuer, subject, name, names, role, groups, logins,"
    " authenticated_ns, signed_in_ns, known_until_ns"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person of the provider. Times are nanoseconds since the epoch (UTC).

    `name` is what the trail shows; `names` are further ones that count as theirs. After
    `known_until_ns` what the provider said of them is too old to act on. `authenticated_ns` is 0
    when the provider has not said when it last saw a proof.
    """

    id: int
    issuer: str
    subject: str
    name: str
    names: tuple[str, ...]
    role: Role
    groups: tuple[str, ...]
    logins: tuple[str, ...]
    authenticated_ns: int
    signed_in_ns: int
    known_until_ns: int

    @property
    def identity(self) -> str:
        """The provider, and its own name for the person, which never changes."""
        return f"{self.issuer} {self.subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What one sign-in has proved; the fields mean what they do in Person."""

    issuer: str
    subject: str
    name: str
    names: tuple[str, ...] = ()
    role: Role
    groups: tuple[str, ...] = ()
    logins: tuple[str, ...] = ()
    authenticated_ns: int


def remember(database: Path, identity: Identity, *, known_until_ns: int) -> Person:
    """Keep what a sign-in proved in place of the one before; raise Refusal if the name is taken.

    A name belongs to who brought it first: addresses are given to others, and whoever could take
    a reviewer's name could take their place.
    """
    proved = (
        *(identity.name, json.dumps(identity.names), identity.role.value),
        *(json.dumps(identity.groups), json.dumps(identity.logins)),
        *(identity.authenticated_ns, time.time_ns(), known_until_ns),
    )
    with connect(database) as connection:
        holder = connection.execute(
            "SELECT issuer, subject FROM person WHERE lower(name) = lower(?)", (identity.name,)
        ).fetchone()
        if holder not in (None, (identity.issuer, identity.subject)):
            raise Refusal(
                403,
                "name_taken",
                f"another account of the provider signed in as {identity.name} before",
                f"if that account is gone, run: holdfast-collector person remove {identity.name}",
            )
        connection.execute(
            "INSERT INTO person (name, names, role, groups, logins, authenticated_ns,"
            " signed_in_ns, known_until_ns, issuer, subject)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (issuer, subject) DO UPDATE SET"
            " name = excluded.name, names = excluded.names, role = excluded.role,"
            " groups = excluded.groups, logins = excluded.logins,"
            " authenticated_ns = max(authenticated_ns, excluded.authenticated_ns),"
            " signed_in_ns = excluded.signed_in_ns, known_until_ns = excluded.known_until_ns",
            (*proved, identity.issuer, identity.subject),
        )
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM person WHERE issuer = ? AND subject = ?",  # noqa: S608
            (identity.issuer, identity.subject),
        ).fetchone()
    return _person(database, row)


def find_person(database: Path, connection: sqlite3.Connection, number: int) -> Person | None:
    """Return the person with this number in the file, or None."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM person WHERE id = ?",  # noqa: S608
        (number,),
    ).fetchone()
    return None if row is None else _person(database, row)


def list_people(database: Path) -> tuple[Person, ...]:
    """Return everyone who has ever signed in and was not removed, by name."""
    with connect(database) as connection:
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM person ORDER BY name"  # noqa: S608
        ).fetchall()
    return tuple(_person(database, row) for row in rows)


def remove_person(database: Path, name: str) -> None:
    """Forget a person, and end what they are signed in with; raise StateError if unknown."""
    with connect(database) as connection:
        gone = connection.execute(
            "DELETE FROM person WHERE lower(name) = lower(?) RETURNING name, role, issuer, subject",
            (name,),
        ).fetchone()
        if gone is None:
            raise StateError(
                f"nobody has signed in as {name!r}; `holdfast-collector person list` shows who has"
            )
        note(
            connection,
            Entry(
                what=What.PERSON_REMOVED,
                via=Via.ADMINISTRATION,
                person=gone[0],
                role=gone[1],
                identity=f"{gone[2]} {gone[3]}",
                done_by=who_runs_this(),
            ),
        )


def theirs(
    database: Path, connection: sqlite3.Connection, name: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the further names, and the login users, that anything in the file gives a name.

    Someone with a token of an administrator and an account of the provider is one person.
    """
    names: list[str] = []
    logins: list[str] = []
    for more_names, more_logins in connection.execute(
        "SELECT names, logins FROM person WHERE lower(name) = lower(?1) UNION ALL"
        " SELECT '[]', logins FROM token WHERE lower(name) = lower(?1) AND kind = 'personal'"
        " AND revoked_ns IS NULL",
        (name,),
    ):
        names += texts(database, "a person", more_names)
        logins += texts(database, "a person", more_logins)
    return once(names), once(logins)


def lasting_names(person: Person) -> tuple[str, ...]:
    """Return the further names of a person, with the one that the provider never changes.

    Who is renamed between two votes is still one person.
    """
    return once((*person.names, person.subject))


def once(found: Sequence[str]) -> tuple[str, ...]:
    """Return each text once, in the order of their first place."""
    return tuple(dict.fromkeys(found))


def _person(database: Path, row: Sequence[object]) -> Person:
    number, issuer, subject, name, names, role, groups, logins, *times = row
    authenticated_ns, signed_in_ns, known_until_ns = times
    try:
        known = Role(str(role))
    except ValueError as error:
        raise damaged(database, f"a person has {error}") from error
    return Person(
        id=int(str(number)),
        issuer=str(issuer),
        subject=str(subject),
        name=str(name),
        names=texts(database, "a person", str(names)),
        role=known,
        groups=texts(database, "a person", str(groups)),
        logins=texts(database, "a person", str(logins)),
        authenticated_ns=int(str(authenticated_ns)),
        signed_in_ns=int(str(signed_in_ns)),
        known_until_ns=int(str(known_until_ns)),
    )

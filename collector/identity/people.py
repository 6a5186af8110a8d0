"""People: a name, a role, the login users that are theirs, and bearer tokens that prove them."""

import asyncio
import hashlib
import hmac
import json
import re
import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from collector.errors import StateError
from collector.identity.database import Live, connect, damaged, digest, texts
from collector.identity.journal import Entry, Via, What, note_alone, note_token
from collector.identity.roles import Role as Role
from collector.identity.signed_in import Person, find_person, lasting_names, once, theirs

DAY_NS = 86_400 * 10**9
_TOKEN = re.compile(r"hft_([0-9a-f]{12})_([0-9a-f]{64})")
# Compared against when the id is unknown, so that both answers take the same work.
_NOBODY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking, whichever way it was proved: by a token, a session, or a linked account.

    `names` are further names of the same person. A `machine` may do what its `scopes` say, and
    can never decide. `authenticated_ns` is when the identity provider last saw a proof of who
    this is, in nanoseconds since the epoch; None where nobody has said so. `signed_in` is whether
    the provider has proved them at all, and not a token of an administrator's making.
    """

    name: str
    role: Role
    logins: tuple[str, ...]
    token: str  # id of the token, session or account, never a secret
    groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    machine: bool = False
    scopes: tuple[str, ...] = ()
    authenticated_ns: int | None = None
    responsible: tuple[str, ...] = ()  # of a machine: who answers for what it asks
    signed_in: bool = False


class TokenKind(StrEnum):
    """Whose a token is: made for a person or a machine, or got by `holdfast login`."""

    PERSONAL = "personal"
    MACHINE = "machine"
    LOGIN = "login"


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
    kind: TokenKind = TokenKind.PERSONAL
    scopes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    responsible: tuple[str, ...] = ()

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
    check_name(name)
    if days is not None and days < 1:
        raise StateError(f"--days {days}: a token must live for at least one day")
    expires_ns = None if days is None else time.time_ns() + days * DAY_NS
    return store_token(
        database, name=name, role=role, logins=logins, groups=groups, expires_ns=expires_ns
    )


def check_name(name: str, option: str = "--name") -> None:
    """Raise StateError if it is none that could be shown and compared."""
    if not name.strip() or name != name.strip() or any(ord(char) < 32 for char in name):
        raise StateError(
            f"{option} {name!r}: give a plain name, best an address: alice@example.com"
        )


def store_token(
    database: Path,
    *,
    name: str,
    role: Role,
    logins: Sequence[str] = (),
    groups: Sequence[str] = (),
    expires_ns: int | None,
    kind: TokenKind = TokenKind.PERSONAL,
    scopes: Sequence[str] = (),
    responsible: Sequence[str] = (),
    person: Person | None = None,
    authenticated_ns: int = 0,
    address: str = "",
) -> str:
    """Return a new token of any kind; one of `holdfast login` is bound to its person.

    `address`: of who gets it, where it goes over the network.
    """
    token_id, secret = secrets.token_hex(6), secrets.token_hex(32)
    with connect(database) as connection:
        connection.execute(
            "INSERT INTO token (id, digest, name, role, logins, created_ns, expires_ns, kind,"
            " scopes, groups, person, authenticated_ns, responsible)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(token_id, digest(secret), name, role.value, json.dumps(list(logins))),
                *(time.time_ns(), expires_ns, kind.value, json.dumps(list(scopes))),
                json.dumps(list(groups)),
                *(None if person is None else person.id, authenticated_ns or None),
                json.dumps(list(responsible)),
            ),
        )
        if kind is TokenKind.LOGIN:
            note_token(connection, token_id, What.SIGN_IN, Via.DEVICE, address=address)
        else:
            note_token(connection, token_id, What.TOKEN_MADE, Via.ADMINISTRATION)
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
        self._live = Live(database)

    async def check(self, token: str) -> Caller | None:
        """Return who a token proves, or None; raise StateError if the file cannot be used."""
        return await self._live.ask(lambda asked: _proved(self._live.database, asked, token))

    async def end_login(self, token_id: str, *, address: str = "") -> bool:
        """End a token if `holdfast login` got it; return whether it did."""
        return await asyncio.to_thread(_end_login, self._live.database, token_id, address)

    async def note(self, entry: Entry) -> None:
        """Write down what was done by a token that stays as it is; raise StateError."""
        await asyncio.to_thread(note_alone, self._live.database, entry)

    def close(self) -> None:
        """Let go of the file."""
        self._live.close()


def caller_of(
    database: Path,
    connection: sqlite3.Connection,
    person: Person,
    *,
    proof: str,
    authenticated_ns: int,
) -> Caller:
    """Return a person who has signed in as a caller; `proof` is the id of what shows it now."""
    names, logins = theirs(database, connection, person.name)
    return Caller(
        name=person.name,
        role=person.role,
        logins=once((*person.logins, *logins)),
        token=proof,
        groups=person.groups,
        names=once((*lasting_names(person), *names)),
        authenticated_ns=authenticated_ns or None,
        signed_in=True,
    )


def _proved(database: Path, connection: sqlite3.Connection, token: str) -> Caller | None:
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    token_id, secret = match.groups()
    row = connection.execute(
        "SELECT digest, name, role, logins, expires_ns, revoked_ns, kind, scopes, groups,"
        " responsible, person, authenticated_ns FROM token WHERE id = ?",
        (token_id,),
    ).fetchone()
    same = hmac.compare_digest(row[0] if row else _NOBODY, digest(secret))
    if row is None or not same:
        return None
    _, name, role, logins, expires_ns, revoked_ns, kind, scopes, groups, answer, *login = row
    if revoked_ns is not None or (expires_ns is not None and expires_ns <= time.time_ns()):
        return None
    known, logins = _role_and_logins(database, role, logins)
    match _kind(database, kind):
        case TokenKind.MACHINE:
            allowed = texts(database, "a token", scopes)
            answering = texts(database, "a token", answer)
            return Caller(
                name,
                Role.VIEWER,
                (),
                token_id,
                machine=True,
                scopes=allowed,
                responsible=answering,
            )
        case TokenKind.LOGIN:
            number, authenticated_ns = login
            person = find_person(database, connection, number)
            if person is None:
                return None
            at = authenticated_ns or 0
            return caller_of(database, connection, person, proof=token_id, authenticated_ns=at)
    names, more = theirs(database, connection, name)
    mine = texts(database, "a token", groups)
    return Caller(name, known, once((*logins, *more)), token_id, groups=mine, names=names)


def list_tokens(database: Path) -> tuple[TokenFacts, ...]:
    """Return every token ever made, oldest first."""
    with connect(database) as connection:
        rows = connection.execute(
            "SELECT id, name, role, logins, created_ns, expires_ns, revoked_ns, kind, scopes,"
            " groups, responsible FROM token ORDER BY created_ns, id"
        ).fetchall()
    return tuple(_facts(database, row) for row in rows)


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
        if changed.rowcount:
            note_token(connection, token_id, What.TOKEN_REVOKED, Via.ADMINISTRATION)
        return changed.rowcount == 1


def _facts(database: Path, row: tuple[Any, ...]) -> TokenFacts:
    token_id, name, role, logins, created_ns, expires_ns, revoked_ns, *rest = row
    kind, scopes, groups, responsible = rest
    known, users = _role_and_logins(database, role, logins)
    return TokenFacts(
        id=token_id,
        name=name,
        role=known,
        logins=users,
        created_ns=created_ns,
        expires_ns=expires_ns,
        revoked_ns=revoked_ns,
        kind=_kind(database, kind),
        scopes=texts(database, "a token", scopes),
        groups=texts(database, "a token", groups),
        responsible=texts(database, "a token", responsible),
    )


def _end_login(database: Path, token_id: str, address: str) -> bool:
    with connect(database) as connection:
        changed = connection.execute(
            "UPDATE token SET revoked_ns = ? WHERE id = ? AND kind = ? AND revoked_ns IS NULL",
            (time.time_ns(), token_id, TokenKind.LOGIN.value),
        )
        if changed.rowcount:
            note_token(connection, token_id, What.SIGN_OUT, Via.DEVICE, address=address)
        return changed.rowcount == 1


def _role_and_logins(database: Path, role: str, logins: str) -> tuple[Role, tuple[str, ...]]:
    try:
        return Role(role), texts(database, "a token", logins)
    except ValueError as error:
        raise damaged(database, f"a token has {error}") from error


def _kind(database: Path, kind: str) -> TokenKind:
    try:
        return TokenKind(kind)
    except ValueError as error:
        raise damaged(database, f"a token has {error}") from error

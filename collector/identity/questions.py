"""Questions of the trail that people have saved, for everybody who may ask it."""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from collector.errors import Refusal
from collector.identity.database import Live, connect
from collector.identity.people import Caller
from collector.identity.roles import Role

_MOST = 500
_LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class SavedQuestion:
    """One question; `by` is who saved it."""

    id: str
    name: str
    sql: str
    by: str
    saved_ns: int


class SavedQuestions:
    """Keeps them in the file of identities."""

    def __init__(self, database: Path) -> None:
        self._live = Live(database)

    async def all(self) -> Sequence[SavedQuestion]:
        """Return every one, by name."""
        return await self._live.ask(_all)

    async def find(self, question: str) -> SavedQuestion:
        """Return one; raise Refusal 404."""
        return await self._live.ask(lambda asked: _find(asked, question))

    async def save(self, caller: Caller, name: str, sql: str) -> SavedQuestion:
        """Save one under a name of its own; raise Refusal."""
        return await asyncio.to_thread(self._save, caller, name.strip(), sql)

    async def remove(self, caller: Caller, question: str) -> None:
        """Remove one of the caller's own, or any as an administrator; raise Refusal."""
        await asyncio.to_thread(self._remove, caller, question)

    def close(self) -> None:
        """Let go of the file."""
        self._live.close()

    def _save(self, caller: Caller, name: str, sql: str) -> SavedQuestion:
        if not name or len(name) > _LONGEST_NAME or not name.isprintable():
            raise Refusal(
                422,
                "validation",
                f"the name of a question has 1 to {_LONGEST_NAME} printable characters",
                "give it a name that others will find it by",
            )
        made = SavedQuestion(secrets.token_hex(8), name, sql, caller.name, time.time_ns())
        with connect(self._live.database) as connection:
            connection.execute("BEGIN IMMEDIATE")
            found = _all(connection)
            if any(one.name.casefold() == name.casefold() for one in found):
                raise Refusal(
                    409,
                    "name_taken",
                    f"there is a question of the name {name!r} already",
                    "give it another name, or remove the other one",
                )
            if len(found) >= _MOST:
                raise Refusal(
                    409,
                    "too_many_questions",
                    f"there are {_MOST} saved questions already",
                    "remove some that nobody needs",
                )
            connection.execute(
                "INSERT INTO question VALUES (?, ?, ?, ?, ?)",
                (made.id, made.name, made.sql, made.by, made.saved_ns),
            )
        return made

    def _remove(self, caller: Caller, question: str) -> None:
        with connect(self._live.database) as connection:
            connection.execute("BEGIN IMMEDIATE")
            found = _find(connection, question)
            if caller.role is not Role.ADMIN and found.by != caller.name:
                raise Refusal(
                    403,
                    "not_yours",
                    f"{found.by} saved the question {found.name!r}",
                    "ask them, or an administrator, to remove it",
                )
            connection.execute("DELETE FROM question WHERE id = ?", (question,))


_COLUMNS = 'id, name, sql, "by", saved_ns'


def _all(connection: sqlite3.Connection) -> list[SavedQuestion]:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM question ORDER BY name COLLATE NOCASE"  # noqa: S608 - fixed text
    )
    return [SavedQuestion(*row) for row in rows.fetchall()]


def _find(connection: sqlite3.Connection, question: str) -> SavedQuestion:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM question WHERE id = ?",  # noqa: S608 - fixed text
        (question,),
    ).fetchone()
    if row is None:
        raise Refusal(
            404, "unknown_question", "there is no such saved question", "choose one of the list"
        )
    return SavedQuestion(*row)

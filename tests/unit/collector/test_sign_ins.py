"""Who signed in and out, and what was refused: written down with the thing itself, and brought into
the trail."""

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from collector.config import Trail
from collector.errors import StateError
from collector.identity import journal
from collector.identity.changes import FileChanges
from collector.identity.links import Links
from collector.identity.machines import Scope, create_machine_token
from collector.identity.people import (
    Role,
    TokenKind,
    Tokens,
    check_token,
    create_token,
    list_tokens,
    revoke_token,
    store_token,
)
from collector.identity.refused import MANY, RefusedSignIns
from collector.identity.sessions import Sessions
from collector.identity.signed_in import Identity, Person, remember, remove_person
from collector.ingest.sign_ins import SignInCopy
from collector.trail.store import open_trail
from collector.trail.writer import Writer
from collector.web.token_sessions import TokenSessions

HERE = "192.0.2.7"
ISSUER = "https://idp.example"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Give a file that does not exist yet."""
    return tmp_path / "identities.db"


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty trail."""
    connection = open_trail(Trail(file=str(tmp_path / "trail.duckdb")))
    yield connection
    connection.close()


def entries(database: Path) -> list[journal.Entry]:
    """Return all that is written down."""
    return list(journal.not_copied(database, "nobody's", 10_000)[0])


async def comes_to(so: Callable[[], bool]) -> None:
    """Wait until it is so; the file gives this test no other sign."""

    def wait() -> None:
        end = time.monotonic() + 20
        while not so():
            assert time.monotonic() < end
            time.sleep(0.02)

    await asyncio.to_thread(wait)


def ann(database: Path) -> Person:
    """Return somebody who has just proved who they are."""
    identity = Identity(
        issuer=ISSUER,
        subject="s-1",
        name="ann@example.com",
        role=Role.REVIEWER,
        authenticated_ns=1,
    )
    return remember(database, identity, known_until_ns=time.time_ns() + 10**12)


def later() -> int:
    """Return a time in a while."""
    return time.time_ns() + 10**12


async def test_each_way_in_and_out_is_written_down(database: Path) -> None:
    """With who, by what, from where; no row has a secret in it."""
    person = ann(database)
    sessions, links, tokens = Sessions(database), Links(database), Tokens(database)
    cookie = sessions.create(person, authenticated_ns=1, expires_ns=later(), address=HERE)
    session = await sessions.check(cookie)
    assert session is not None
    code = await links.start_link("slack", "T1/U1", "Ann")
    await links.finish_link(code, session.caller, address=HERE)
    await sessions.end(cookie, address=HERE)
    await sessions.end(cookie, address=HERE)  # it was over
    token = store_token(
        database,
        name=person.name,
        role=person.role,
        expires_ns=later(),
        kind=TokenKind.LOGIN,
        person=person,
        address=HERE,
    )
    token_id = token.split("_")[1]
    assert await tokens.end_login(token_id, address=HERE)
    assert not await tokens.end_login(token_id, address=HERE)
    for part in (sessions, links, tokens):
        part.close()
    found = entries(database)
    assert [(one.what, one.via, one.proof) for one in found] == [
        ("sign_in", "browser", session.caller.token),
        ("account_linked", "slack", "slack:T1/U1"),
        ("sign_out", "browser", session.caller.token),
        ("sign_in", "device", token_id),
        ("sign_out", "device", token_id),
    ]
    for one in found:
        assert (one.person, one.role, one.outcome) == ("ann@example.com", "reviewer", "ok")
        assert (one.identity, one.address, one.done_by) == (f"{ISSUER} s-1", HERE, "")
    assert [one.time_ns for one in found] == sorted(one.time_ns for one in found)
    for secret in (cookie, code, token.split("_")[2]):
        assert secret not in repr(found)


def test_what_is_done_by_commands_says_who_ran_them(database: Path) -> None:
    """Tokens of people and machines, and people who are removed; what fails leaves no row."""
    person = ann(database)
    mine = create_token(database, name="bob@example.com", role=Role.ADMIN)
    create_machine_token(database, name="ci", scopes=[Scope.TRAIL_READ], days=1)
    first = mine.split("_")[1]
    assert revoke_token(database, first) and not revoke_token(database, first)
    remove_person(database, person.name)
    with pytest.raises(StateError):
        revoke_token(database, "ffffffffffff")
    with pytest.raises(StateError):
        remove_person(database, person.name)
    other = next(one.id for one in list_tokens(database) if one.kind is TokenKind.MACHINE)
    found = entries(database)
    assert [(one.what, one.person, one.role, one.proof) for one in found] == [
        ("token_made", "bob@example.com", "admin", first),
        ("token_made", "ci", "machine", other),
        ("token_revoked", "bob@example.com", "admin", first),
        ("person_removed", "ann@example.com", "reviewer", ""),
    ]
    assert {(one.via, one.done_by) for one in found} == {
        ("administration", journal.who_runs_this())
    }


async def test_the_pages_with_a_token(database: Path) -> None:
    """The token's id stands for the session; one that ended with its token is no sign-out."""
    token = create_token(database, name="bob", role=Role.VIEWER)
    tokens = Tokens(database)
    sessions = TokenSessions(tokens)
    first = await sessions.create(token, address=HERE)
    second = await sessions.create(token, address=HERE)
    await sessions.end(first, address=HERE)
    revoke_token(database, token.split("_")[1])
    await sessions.end(second, address=HERE)
    tokens.close()
    found = [(one.what, one.via, one.person, one.address) for one in entries(database)[1:]]
    assert found == [
        ("sign_in", "token", "bob", HERE),
        ("sign_in", "token", "bob", HERE),
        ("sign_out", "token", "bob", HERE),
        ("token_revoked", "administration", "bob", ""),
    ]


async def test_nobody_is_let_in_without_a_row(database: Path) -> None:
    """Where it cannot be written down, there is no session either."""
    person = ann(database)
    sessions = Sessions(database)
    with sqlite3.connect(database) as connection:
        connection.execute("DROP TABLE sign_in")
    with pytest.raises(StateError):
        sessions.create(person, authenticated_ns=1, expires_ns=later())
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM session").fetchone() == (0,)
    sessions.close()


async def test_refusals_that_are_the_same_are_told_together(database: Path) -> None:
    """None is left out: the first at once, the others as one row when their minute is over."""
    refused = RefusedSignIns(database, together_s=0.3)
    for _ in range(5):
        await refused.note("token", "unknown", HERE)
    await refused.note("token", "unknown", "192.0.2.8")
    assert [(one.address, one.times) for one in entries(database)] == [
        (HERE, 1),
        ("192.0.2.8", 1),
    ]
    await comes_to(lambda: len(entries(database)) == 3)
    await refused.note("token", "unknown", HERE)  # a new minute
    await refused.note("token", "unknown", HERE)
    await refused.close()
    found = entries(database)
    assert [(one.address, one.times) for one in found[2:]] == [(HERE, 4), (HERE, 1), (HERE, 1)]
    assert {(one.outcome, one.person, one.what) for one in found} == {("refused", "", "sign_in")}


async def test_who_has_many_addresses_cannot_fill_the_file(database: Path) -> None:
    """What is written in a minute is bounded, and the count is right all the same."""
    refused = RefusedSignIns(database)
    for number in range(400):
        await refused.note("api", "x" * 5000, f"2001:db8::{number:x}")
    await refused.close()
    found = entries(database)
    assert len(found) < 60 and sum(one.times for one in found) == 400
    assert max(len(one.reason) for one in found) <= 300
    assert sum(one.times for one in found if one.address == MANY) > 300


def _writer(trail: duckdb.DuckDBPyConnection) -> Writer:
    return Writer(trail, on_fatal=pytest.fail)


async def test_the_trail_has_each_once_and_a_new_trail_all_of_them(
    database: Path, trail: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the collector dies between the commit and its note of how far it is."""
    create_token(database, name="bob", role=Role.VIEWER)
    create_token(database, name="cat", role=Role.ADMIN)
    writer = _writer(trail)
    copy = SignInCopy(database, writer, trail="one", seen_by="key")

    def dies(*_: Any) -> None:
        raise StateError("killed here")

    with monkeypatch.context() as patched:
        patched.setattr("collector.ingest.sign_ins.copied", dies)
        with pytest.raises(StateError):
            await copy.copy()
    await copy.copy()
    create_token(database, name="dan", role=Role.ADMIN)
    await copy.copy()
    await copy.copy()
    rows = trail.execute("SELECT person, what, seen_by FROM sign_ins ORDER BY time_ns").fetchall()
    assert rows == [(name, "token_made", "key") for name in ("bob", "cat", "dan")]
    shown = trail.execute("SELECT person, role, done_by FROM who_signed_in LIMIT 1").fetchall()
    assert shown == [("dan", "admin", journal.who_runs_this())]
    again = SignInCopy(database, writer, trail="another", seen_by="key")
    trail.execute("DELETE FROM sign_ins")
    await again.copy()
    assert trail.execute("SELECT count(*) FROM sign_ins").fetchall() == [(3,)]
    await asyncio.to_thread(writer.close)


async def test_what_another_process_does_is_heard_of_at_once(
    database: Path, trail: duckdb.DuckDBPyConnection
) -> None:
    """The command that makes a token is no part of the daemon; nobody looks every second."""
    token = create_token(database, name="bob", role=Role.VIEWER)
    tokens = Tokens(database)
    await tokens.check(token)  # as in the daemon: a connection stays open
    writer = _writer(trail)
    running = asyncio.create_task(SignInCopy(database, writer, trail="t", seen_by="k").run())
    reading = trail.cursor()

    def has(count: int) -> bool:
        return reading.execute("SELECT count(*) FROM sign_ins").fetchall() == [(count,)]

    await comes_to(lambda: has(1))
    make = (
        "from pathlib import Path; from collector.identity.people import create_token, Role;"
        f"create_token(Path({str(database)!r}), name='cat', role=Role.VIEWER)"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", make], check=True)
    await comes_to(lambda: has(2))  # sooner than it looks by itself
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    reading.close()
    tokens.close()
    await asyncio.to_thread(writer.close)


async def test_a_file_that_takes_the_place_of_another_is_watched(database: Path) -> None:
    """A copy was put back while the daemon runs."""
    token = create_token(database, name="bob", role=Role.VIEWER)
    changes = FileChanges(database)
    aside = database.with_name("aside.db")
    create_token(aside, name="cat", role=Role.VIEWER)
    aside.rename(database)
    async with asyncio.timeout(20):
        await changes.changed.wait()
        await asyncio.sleep(0.2)
    changes.changed.clear()
    changes.watch()
    assert check_token(database, token) is None
    create_token(database, name="dan", role=Role.VIEWER)
    async with asyncio.timeout(20):
        await changes.changed.wait()
    changes.close()

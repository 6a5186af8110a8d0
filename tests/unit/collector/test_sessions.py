"""Sessions and linked accounts: who they prove, for how long, and what ends them."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from collector.errors import Refusal, StateError
from collector.identity.database import STEPS
from collector.identity.links import Links
from collector.identity.people import (
    Role,
    TokenKind,
    check_token,
    create_token,
    list_tokens,
    store_token,
)
from collector.identity.sessions import Sessions
from collector.identity.signed_in import list_people, remember, remove_person
from tests.support.people import HOUR_NS, identity, signed_in


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Give a file that does not exist yet."""
    return tmp_path / "identities.db"


@pytest.fixture
def sessions(database: Path) -> Iterator[Sessions]:
    """Give the sessions of that file."""
    made = Sessions(database)
    yield made
    made.close()


@pytest.fixture
def links(database: Path) -> Iterator[Links]:
    """Give the links of that file."""
    made = Links(database)
    yield made
    made.close()


def later() -> int:
    """Return a time in an hour."""
    return time.time_ns() + HOUR_NS


async def test_a_session_proves_its_person(database: Path, sessions: Sessions) -> None:
    """Name, role, groups and names come back; the cookie is in no file."""
    ann = signed_in(database, names=("Ann Example",), logins=("ann-unix",))
    cookie = sessions.create(ann, authenticated_ns=17, expires_ns=later())
    session = await sessions.check(cookie)
    assert session is not None
    who = session.caller
    assert (who.name, who.role, who.groups) == ("ann@example.com", Role.REVIEWER, ("sre",))
    assert (who.names, who.logins) == (("Ann Example", ann.subject), ("ann-unix",))
    assert (who.authenticated_ns, session.authenticated_ns) == (17, 17)
    assert not who.machine
    assert cookie not in (who.token, session.csrf)
    for file in database.parent.iterdir():
        assert cookie.encode() not in file.read_bytes()
        assert session.csrf.encode() not in file.read_bytes()


async def test_every_other_cookie_is_nobody(database: Path, sessions: Sessions) -> None:
    """Wrong, cut, expired and ended ones alike; each session has its own form token."""
    ann = signed_in(database)
    first = sessions.create(ann, authenticated_ns=0, expires_ns=later())
    second = sessions.create(ann, authenticated_ns=0, expires_ns=later())
    over = sessions.create(ann, authenticated_ns=0, expires_ns=time.time_ns() - 1)
    for wrong in ("", "x", first[:-1], first + "0", f"hfs_{'0' * 64}", over):
        assert await sessions.check(wrong) is None
    one, two = await sessions.check(first), await sessions.check(second)
    assert one is not None and two is not None
    assert one.csrf != two.csrf
    assert one.caller.authenticated_ns is None
    await sessions.end(first)
    assert await sessions.check(first) is None
    assert await sessions.check(second) is not None


async def test_the_last_sign_in_says_what_a_person_may(database: Path, sessions: Sessions) -> None:
    """Who lost a group at the provider loses it in every open session at the next sign-in."""
    cookie = sessions.create(signed_in(database), authenticated_ns=0, expires_ns=later())
    signed_in(database, role=Role.VIEWER, groups=())
    session = await sessions.check(cookie)
    assert session is not None
    assert (session.caller.role, session.caller.groups) == (Role.VIEWER, ())


async def test_a_removed_person_is_out_at_once(
    database: Path, sessions: Sessions, links: Links
) -> None:
    """Sessions, links and tokens of the command line end together."""
    ann = signed_in(database)
    cookie = sessions.create(ann, authenticated_ns=0, expires_ns=later())
    token = store_token(
        database,
        name=ann.name,
        role=ann.role,
        expires_ns=later(),
        kind=TokenKind.LOGIN,
        person=ann,
        authenticated_ns=5,
    )
    caller = check_token(database, token)
    assert caller is not None and caller.authenticated_ns == 5 and caller.groups == ("sre",)
    await links.finish_link(await links.start_link("slack", "T1/U1"), caller)
    assert await links.linked("slack", "T1/U1") is not None
    remove_person(database, "ANN@example.com")
    assert await sessions.check(cookie) is None
    assert check_token(database, token) is None
    assert await links.linked("slack", "T1/U1") is None
    assert list_people(database) == ()
    with pytest.raises(StateError, match="person list"):
        remove_person(database, "ann@example.com")


async def test_an_account_is_nobody_until_its_holder_signed_in(
    database: Path, links: Links
) -> None:
    """A code works once; the label is shown before it is used."""
    ann = check_token(database, _login_token(database, "ann@example.com"))
    assert ann is not None
    assert await links.linked("slack", "T1/U1") is None
    code = await links.start_link("slack", "T1/U1", "Ann (@ann)")
    assert (await links.claimed(code)).label == "Ann (@ann)"
    assert await links.linked("slack", "T1/U1") is None
    await links.finish_link(code, ann)
    found = await links.linked("slack", "T1/U1")
    assert found is not None and found.name == "ann@example.com"
    assert await links.linked("slack", "T2/U1") is None
    assert await links.linked("teams", "T1/U1") is None
    for used in (code, "nonsense"):
        with pytest.raises(Refusal, match="unknown, used"):
            await links.finish_link(used, ann)


async def test_a_link_ends_with_the_knowledge_of_its_person(database: Path, links: Links) -> None:
    """Who has not signed in for long may have left: the account is nobody until they do."""
    ann = check_token(database, _login_token(database, "ann@example.com"))
    assert ann is not None
    await links.finish_link(await links.start_link("slack", "T1/U1"), ann)
    signed_in(database, known_ns=-1)
    assert await links.linked("slack", "T1/U1") is None
    signed_in(database)
    assert await links.linked("slack", "T1/U1") is not None


async def test_only_who_signed_in_can_claim_an_account(database: Path, links: Links) -> None:
    """A personal token of an administrator's making is no proof of the provider."""
    signed_in(database, "bob")
    caller = check_token(database, create_token(database, name="bob", role=Role.ADMIN))
    assert caller is not None
    code = await links.start_link("slack", "T1/U1")
    with pytest.raises(Refusal, match="not signed in"):
        await links.finish_link(code, caller)
    assert await links.linked("slack", "T1/U1") is None


def test_a_name_belongs_to_who_brought_it_first(database: Path) -> None:
    """An account that takes on a reviewer's address does not become the reviewer."""
    signed_in(database)
    with pytest.raises(Refusal, match="another account") as refused:
        signed_in(database, "Ann@Example.com", subject="someone-else")
    assert refused.value.code == "name_taken"
    remove_person(database, "ann@example.com")
    assert signed_in(database, subject="someone-else").subject == "someone-else"


async def test_a_proof_is_of_its_own_sign_in(database: Path) -> None:
    """A sign-in without a time of proof does not take over the time of another."""
    first = remember(database, identity(authenticated_ns=100), known_until_ns=later())
    again = remember(database, identity(authenticated_ns=0), known_until_ns=later())
    assert (first.id, again.authenticated_ns) == (again.id, 100)
    token = store_token(
        database,
        name=again.name,
        role=again.role,
        expires_ns=later(),
        kind=TokenKind.LOGIN,
        person=again,
    )
    caller = check_token(database, token)
    assert caller is not None and caller.authenticated_ns is None


def test_one_person_has_all_their_names(database: Path) -> None:
    """A token of the same name counts with what the provider says of that person."""
    signed_in(database, names=("aexample",), logins=("ann-unix",))
    token = create_token(database, name="Ann@example.com", role=Role.REVIEWER, logins=["ann2"])
    caller = check_token(database, token)
    assert caller is not None
    assert set(caller.logins) == {"ann2", "ann-unix"}
    assert caller.names == ("aexample",)


def test_a_file_of_the_first_version_keeps_its_meaning(database: Path) -> None:
    """Tokens and hosts of before the upgrade are what they were."""
    token = create_token(database, name="ann", role=Role.ADMIN, logins=["ann"])
    digest, created = "", 0
    with closing(sqlite3.connect(database)) as made, made:
        digest, created = made.execute("SELECT digest, created_ns FROM token").fetchone()
        later = ("question", "sign_in", "sign_in_copied", "session", "link", "link_code", "person")
        for table in (*later, "token", "host"):
            made.execute(f"DROP TABLE {table}")
        made.executescript(STEPS[0])
        made.execute(
            "INSERT INTO token VALUES (?, ?, 'ann', 'admin', '[\"ann\"]', ?, NULL, NULL)",
            (token.split("_")[1], digest, created),
        )
        made.execute("PRAGMA user_version = 1")
    caller = check_token(database, token)
    assert caller is not None
    assert (caller.name, caller.role, caller.logins) == ("ann", Role.ADMIN, ("ann",))
    assert (caller.machine, caller.scopes, caller.authenticated_ns) == (False, (), None)
    (facts,) = list_tokens(database)
    assert (facts.kind, facts.scopes) == (TokenKind.PERSONAL, ())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE person SET role = 'emperor'",
        "UPDATE person SET groups = '{}'",
        "UPDATE person SET logins = '[7]'",
        "UPDATE person SET names = 'x'",
        "UPDATE token SET kind = 'king'",
        "UPDATE token SET kind = 'machine', scopes = '{'",
    ],
)
async def test_a_row_that_cannot_be_meant_lets_nobody_in(
    database: Path, sessions: Sessions, statement: str
) -> None:
    """One error that names the file."""
    ann = signed_in(database)
    cookie = sessions.create(ann, authenticated_ns=0, expires_ns=later())
    token = create_token(database, name="ann@example.com", role=Role.ADMIN)
    with closing(sqlite3.connect(database)) as made, made:
        made.execute(statement)
    with pytest.raises(StateError, match=r"identities\.db"):
        check_token(database, token)
        await sessions.check(cookie)


def _login_token(database: Path, name: str) -> str:
    person = signed_in(database, name)
    return store_token(
        database,
        name=name,
        role=person.role,
        expires_ns=later(),
        kind=TokenKind.LOGIN,
        person=person,
    )

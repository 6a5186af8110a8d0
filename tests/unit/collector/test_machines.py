"""Tokens of machines: what they say they may do, and that they end."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from collector.errors import StateError
from collector.identity.machines import Scope, create_machine_token
from collector.identity.people import Role, TokenKind, check_token, list_tokens


def test_a_machine_is_known_as_one(tmp_path: Path) -> None:
    """It has its scopes, each once, and the least role; the secret is not kept."""
    database = tmp_path / "identities.db"
    scopes = [Scope.ASKS_WRITE, Scope.REQUESTS_READ, Scope.ASKS_WRITE]
    token = create_machine_token(
        database, name="ci", scopes=scopes, days=30, responsible=["alice@example.com"]
    )
    caller = check_token(database, token)
    assert caller is not None
    assert (caller.machine, caller.role, caller.logins) == (True, Role.VIEWER, ())
    assert caller.scopes == ("asks:write", "requests:read")
    assert caller.responsible == ("alice@example.com",)
    (facts,) = list_tokens(database)
    assert (facts.kind, facts.scopes) == (TokenKind.MACHINE, caller.scopes)
    assert facts.expires_ns is not None
    for file in tmp_path.iterdir():
        assert token.split("_")[2].encode() not in file.read_bytes()
    with closing(sqlite3.connect(database)) as opened, opened:
        opened.execute("UPDATE token SET expires_ns = 1")
    assert check_token(database, token) is None


@pytest.mark.parametrize(
    ("name", "scopes", "days", "words"),
    [
        ("ci", [], 30, "--scope"),
        ("ci", [Scope.TRAIL_READ], None, "--days"),
        ("ci", [Scope.TRAIL_READ], 0, "--days"),
        ("ci", [Scope.TRAIL_READ], 367, "--days"),
        (" ci", [Scope.TRAIL_READ], 30, "--name"),
        ("ci", [Scope.ASKS_WRITE], 30, "--responsible"),
    ],
)
def test_a_machine_without_scope_or_end_is_refused(
    tmp_path: Path, name: str, scopes: list[Scope], days: int | None, words: str
) -> None:
    """Nothing is made then."""
    database = tmp_path / "identities.db"
    with pytest.raises(StateError, match=words):
        create_machine_token(database, name=name, scopes=scopes, days=days)
    assert list_tokens(database) == ()

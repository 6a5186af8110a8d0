"""Tokens: made once, kept as digests, refused when wrong, old or revoked."""

import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from collector.errors import StateError
from collector.identity.hosts import HostNames, add_host, list_hosts
from collector.identity.people import (
    Role,
    Tokens,
    check_token,
    create_token,
    list_tokens,
    revoke_token,
)
from wire.ids import HostId


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Give a file that does not exist yet."""
    return tmp_path / "identities.db"


def test_a_token_proves_its_person(database: Path) -> None:
    """Name, role and login users come back, as they are now."""
    token = create_token(database, name="ann@example.com", role=Role.ADMIN, logins=["ann", "a2"])
    caller = check_token(database, token)
    assert caller is not None
    assert (caller.name, caller.role, caller.logins) == (
        "ann@example.com",
        Role.ADMIN,
        ("ann", "a2"),
    )
    assert caller.token in token


def test_the_secret_is_not_kept(database: Path) -> None:
    """Who reads the file finds no token in it, and nobody else may read the file."""
    token = create_token(database, name="ann", role=Role.VIEWER)
    secret = token.split("_")[2]
    for file in database.parent.glob("identities.db*"):
        assert secret.encode() not in file.read_bytes()
        assert bytes.fromhex(secret) not in file.read_bytes()
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    assert len(secret) == 64


def test_every_other_token_is_nobody(database: Path) -> None:
    """Wrong secret, wrong id, wrong shape: none of them says which."""
    token = create_token(database, name="ann", role=Role.VIEWER)
    _, token_id, secret = token.split("_")
    flipped = secret[:-1] + ("0" if secret[-1] != "0" else "1")
    for wrong in (
        "",
        "x",
        token + " ",
        token.upper(),
        token[:-1],
        f"hft_{token_id}_{flipped}",
        f"hft_{'0' * 12}_{secret}",
        f"hft_{token_id}_{'0' * 64}",
    ):
        assert check_token(database, wrong) is None, wrong


def test_revoked_and_expired_tokens_are_nobody(database: Path) -> None:
    """Both at once, and `list` says which is which."""
    revoked = create_token(database, name="ann", role=Role.ADMIN)
    expired = create_token(database, name="bob", role=Role.ADMIN, days=1)
    assert check_token(database, expired) is not None
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE token SET expires_ns = 1 WHERE name = 'bob'")
    connection.close()
    assert revoke_token(database, revoked.split("_")[1]) is True
    assert revoke_token(database, revoked.split("_")[1]) is False
    assert check_token(database, revoked) is None
    assert check_token(database, expired) is None
    assert [token.state(2) for token in list_tokens(database)] == ["revoked", "expired"]


@pytest.mark.parametrize("name", ["", " ann", "ann ", "a\nb", "\t"])
def test_a_useless_name_is_refused(database: Path, name: str) -> None:
    """Names are shown to people and compared with owners."""
    with pytest.raises(StateError, match="--name"):
        create_token(database, name=name, role=Role.VIEWER)


def test_useless_lives_and_unknown_ids_are_refused(database: Path) -> None:
    """The error says what to do."""
    with pytest.raises(StateError, match="--days 0"):
        create_token(database, name="ann", role=Role.VIEWER, days=0)
    with pytest.raises(StateError, match="token list"):
        revoke_token(database, "ffffffffffff")


def test_hosts_have_one_name_each(database: Path) -> None:
    """A name is taken once; a bad one is refused; names follow new enrolments."""
    names = HostNames(database)
    first, second = HostId("1" * 32), HostId("2" * 32)
    add_host(database, host=first, name="web-1", nkey="U" + "A" * 55)
    assert names.name(first, "claimed") == "web-1"
    assert names.name(second, "claimed") == "claimed"
    with pytest.raises(StateError, match="enrolled already"):
        add_host(database, host=second, name="web-1", nkey="U" + "B" * 55)
    for bad in ("", "-x", "a b", "a/b", 'a"b', "x" * 300):
        with pytest.raises(StateError, match="letters, digits"):
            add_host(database, host=second, name=bad, nkey="U" + "B" * 55)
    add_host(database, host=second, name="db.example", nkey="U" + "B" * 55)
    assert [host.name for host in list_hosts(database)] == ["web-1", "db.example"]
    assert names.find("db.example") == second
    assert names.find(second) == second
    assert names.find("unknown") == "unknown"


def test_commands_and_the_daemon_use_the_file_at_once(database: Path) -> None:
    """Readers and writers in parallel, none fails."""
    token = create_token(database, name="ann", role=Role.VIEWER)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                assert check_token(database, token) is not None
                create_token(database, name="x", role=Role.VIEWER)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(list_tokens(database)) == 81


def test_a_file_of_a_newer_collector_is_left_alone(database: Path) -> None:
    """An older program does not guess at a newer schema."""
    create_token(database, name="ann", role=Role.VIEWER)
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StateError, match="newer collector"):
        list_tokens(database)


async def test_an_open_file_of_tokens_is_asked_each_time(tmp_path: Path) -> None:
    """What is revoked, made or put in its place counts at the very next request."""
    database = tmp_path / "identities.db"
    token = create_token(database, name="ann", role=Role.REVIEWER)
    tokens = Tokens(database)
    try:
        caller = await tokens.check(token)
        assert caller is not None
        later = create_token(database, name="bob", role=Role.VIEWER)
        assert await tokens.check(later) is not None
        revoke_token(database, caller.token)
        assert await tokens.check(token) is None
        other = tmp_path / "other.db"
        third = create_token(other, name="cy", role=Role.ADMIN)
        for suffix in ("-wal", "-shm"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        other.rename(database)
        assert await tokens.check(later) is None
        assert await tokens.check(third) is not None
        database.write_bytes(b"no database" * 1000)
        with pytest.raises(StateError):
            await tokens.check(third)
    finally:
        tokens.close()

"""The collector's own files, damaged in any way: one error that names the file, nobody let in."""

import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from collector.config import Trail
from collector.errors import CollectorError, StateError
from collector.identity.hosts import add_host, list_hosts
from collector.identity.people import Role, check_token, create_token, list_tokens
from collector.trail.store import open_trail
from tests.support.centre import REPOSITORY
from tests.support.damage import odd_files
from wire.ids import HostId, new_id


def nkey(number: int) -> str:
    """Return what has the form of a public key."""
    return "U" + "".join("ABCDEFGHIJ"[int(digit)] for digit in f"{number:055}")


@pytest.fixture
def identities(tmp_path: Path) -> Path:
    """A file with a few tokens and hosts."""
    path = tmp_path / "identities.db"
    for number in range(30):
        create_token(path, name=f"p{number}@example.com", role=Role.REVIEWER, logins=["a", "b"])
        add_host(path, host=HostId(new_id()), name=f"web-{number}", nkey=nkey(number))
    return path


def test_a_wrecked_file_of_identities_is_one_error(identities: Path) -> None:
    """Or what is left of it is right: no token is valid that was not made."""
    token = create_token(identities, name="ann@example.com", role=Role.ADMIN)
    known = {one.id: one for one in list_tokens(identities)}
    with closing(sqlite3.connect(identities)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw, dice = identities.read_bytes(), random.Random(7)
    refused = 0
    for _ in range(150):
        data = bytearray(raw)
        if dice.random() < 0.3:
            del data[dice.randrange(len(data)) :]
        else:
            at = dice.randrange(len(data) // 4096) * 4096
            for _ in range(dice.choice([1, 20, 2_000])):
                data[at + dice.randrange(4096)] = dice.randrange(256)
        for suffix in ("-wal", "-shm"):
            identities.with_name(identities.name + suffix).unlink(missing_ok=True)
        identities.write_bytes(data)
        try:
            caller = check_token(identities, token)
            assert caller is None or caller.token in known
            list_tokens(identities)
            list_hosts(identities)
        except StateError as error:
            refused += 1
            assert str(identities) in str(error) or "newer collector" in str(error)
    assert refused


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE token SET role = 'emperor'",
        "UPDATE token SET logins = '{'",
        "UPDATE token SET logins = '{\"a\": 1}'",
        "UPDATE token SET logins = '[7]'",
        "UPDATE token SET logins = replace(hex(zeroblob(50000)), '0', '[')",
        "UPDATE token SET name = CAST(x'ff' AS TEXT)",
        "UPDATE host SET nkey = nkey || '\"'",
        "UPDATE host SET host = name",
        "UPDATE host SET name = name || char(10)",
        "DROP TABLE token; DROP TABLE host",
    ],
)
def test_a_row_that_cannot_be_meant_is_one_error(identities: Path, statement: str) -> None:
    """A key that would end up in NATS's configuration is not one to be lenient about."""
    token = create_token(identities, name="ann@example.com", role=Role.VIEWER)
    with closing(sqlite3.connect(identities)) as database:
        database.executescript(statement)
    with pytest.raises(StateError, match=r"identities\.db"):
        check_token(identities, token)
        list_tokens(identities)
        list_hosts(identities)


def test_another_thing_in_the_place_of_a_file(tmp_path: Path) -> None:
    """Refused in words, and not replaced."""
    for path in odd_files(tmp_path):
        if path.name in ("nothing", "fifo", "device"):
            continue
        with pytest.raises(StateError):
            list_tokens(path)
        with pytest.raises(CollectorError):
            open_trail(Trail(file=str(path)))
    (tmp_path / "text").write_text("hello " * 2_000, encoding="utf-8")
    with pytest.raises(StateError, match="damaged"):
        list_tokens(tmp_path / "text")
    for size in (0, 9, 12_000):
        (tmp_path / "trail").write_bytes(b"x" * size)
        with pytest.raises(CollectorError, match="move it and its"):
            open_trail(Trail(file=str(tmp_path / "trail")))
        assert (tmp_path / "trail").stat().st_size == size


# In a process of its own: what DuckDB makes of a damaged file must not end the tests.
_OPENS = """
import asyncio, sys
from pathlib import Path
from collector.config import Trail
from collector.errors import CollectorError
from collector.trail.reader import Reader
from collector.trail.store import open_trail, trail_id

async def read(path):
    connection = open_trail(Trail(file=str(path), threads=1))
    try:
        trail_id(connection)
        reader = Reader(connection)
        try:
            await reader.unfinished()
            await reader.hosts()
        finally:
            reader.close()
    finally:
        connection.close()

for path in sorted(Path(sys.argv[1]).glob("*.duckdb")):
    try:
        asyncio.run(read(path))
        print("good", path.name)
    except CollectorError as error:
        print("refused", path.name, str(error)[:60])
"""


def test_a_wrecked_trail_is_one_error(tmp_path: Path) -> None:
    """Cut or overwritten anywhere; the error says how a new one is filled."""
    open_trail(Trail(file=str(tmp_path / "good.duckdb"))).close()
    raw, dice = (tmp_path / "good.duckdb").read_bytes(), random.Random(11)
    for number in range(30):
        data = bytearray(raw)
        if number % 3 == 0:
            del data[dice.randrange(len(data)) :]
        else:
            at = dice.randrange(len(data) // 4096) * 4096
            data[at : at + 4096] = dice.randbytes(4096)
        (tmp_path / f"{number}.duckdb").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", _OPENS, str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    lines = done.stdout.splitlines()
    assert len(lines) == 31
    assert "good good.duckdb" in lines
    assert sum(line.startswith("refused") for line in lines) > 10

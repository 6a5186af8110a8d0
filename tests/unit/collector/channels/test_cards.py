"""The record of cards: on disk before anything is sent, and true after any end of the process."""

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from collector.channels.interface import Posted, Route
from collector.channels.store import KEEP_NS, Cards
from collector.errors import StateError
from wire.ids import RequestId

A, B = RequestId("a" * 32), RequestId("b" * 32)
SIEM, SLACK = Route("webhook", "siem"), Route("slack", "#approvals")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the record is."""
    return tmp_path / "channels.sqlite3"


@pytest.fixture
async def cards(file: Path) -> AsyncIterator[Cards]:
    """An open record."""
    made = Cards(file)
    yield made
    await made.close()


async def test_a_card_is_known_before_it_is_sent_and_keeps_its_nonce(
    cards: Cards, file: Path
) -> None:
    """A second attempt has the same nonce, and says that the first may have been accepted."""
    first = await cards.begin(A, SLACK)
    assert first.posted is None and not first.tried
    await cards.close()
    again = Cards(file)
    second = await again.begin(A, SLACK)
    assert second.nonce == first.nonce and second.tried
    await again.rejected(A, SLACK)
    assert not (await again.begin(A, SLACK)).tried
    await again.close()


async def test_a_nonce_belongs_to_one_request_and_one_channel(cards: Cards) -> None:
    """A click with the nonce of another card is nobody's."""
    mine, other = await cards.begin(A, SLACK), await cards.begin(B, SLACK)
    elsewhere = await cards.begin(A, SIEM)
    assert len({mine.nonce, other.nonce, elsewhere.nonce}) == 3
    assert await cards.belongs(A, mine.nonce, "slack")
    assert not await cards.belongs(A, other.nonce, "slack")
    assert not await cards.belongs(A, elsewhere.nonce, "slack")
    assert not await cards.belongs(B, mine.nonce, "slack")
    assert not await cards.belongs(A, "", "slack")
    assert not await cards.belongs(A, "' OR 1=1 --", "slack")


async def test_what_is_accepted_outlives_the_process(cards: Cards, file: Path) -> None:
    """What a card shows, where it is, and whether anything is still to come."""
    await cards.begin(A, SLACK)
    await cards.shows(A, SLACK, Posted("C1/17.3"), version=2, finished=False)
    await cards.begin(B, SIEM)
    await cards.shows(B, SIEM, Posted("x"), version=5, finished=True)
    await cards.close()
    again = Cards(file)
    assert [(one.request, one.shown, one.posted) for one in await again.open()] == [
        (A, 2, Posted("C1/17.3"))
    ]
    assert (await again.get(B, SIEM) or pytest.fail("it is gone")).finished
    assert await again.get(B, SLACK) is None
    await again.close()


async def test_an_alarm_is_on_record_from_before_it_is_sent(cards: Cards, file: Path) -> None:
    """Whoever starts after a crash knows that it may be there, and later that it is."""
    await cards.begin(A, SLACK)
    await cards.shows(A, SLACK, Posted("C1/17.3"), version=1, finished=False)
    await cards.telling(A, SLACK)
    await cards.close()
    again = Cards(file)
    known = await again.get(A, SLACK)
    assert known is not None
    assert (known.telling, known.told) == (True, False)
    await again.shows(A, SLACK, Posted("C1/17.3"), version=2, finished=False, told=True)
    await again.telling(A, SLACK)
    await again.shows(A, SLACK, Posted("C1/17.3"), version=3, finished=True)
    known = await again.get(A, SLACK)
    assert known is not None
    assert (known.telling, known.told) == (False, True)
    await again.close()


async def test_a_record_of_before_alarms_is_taken_up(cards: Cards, file: Path) -> None:
    """With its cards, of which nobody was alarmed."""
    await cards.begin(A, SLACK)
    await cards.shows(A, SLACK, Posted("C1/17.3"), version=2, finished=False)
    await cards.close()
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("ALTER TABLE card DROP COLUMN told")
        database.execute("ALTER TABLE card DROP COLUMN beside")
        database.execute("PRAGMA user_version = 1")
    again = Cards(file)
    (known,) = await again.open()
    assert (known.posted, known.told) == (Posted("C1/17.3"), False)
    await again.telling(A, SLACK)
    await again.close()


async def test_a_refusal_is_listed_until_the_card_is_shown(cards: Cards) -> None:
    """Whoever looks why a card did not come finds the channel's words."""
    await cards.begin(A, SLACK)
    await cards.refused(A, SLACK, version=1, why="channel_not_found", finished=False)
    assert [(one.request, one.why) for one in await cards.failures(9)] == [(A, "channel_not_found")]
    await cards.shows(A, SLACK, Posted("x"), version=1, finished=False)
    assert await cards.failures(9) == []


async def test_a_start_gives_a_refused_card_another_chance_and_forgets_old_ones(
    cards: Cards, file: Path
) -> None:
    """An administrator mends the channel and starts the collector; and the file does not grow."""
    for request in (A, B):
        await cards.begin(request, SLACK)
        await cards.refused(request, SLACK, version=1, why="revoked", finished=request == B)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE card SET changed_ns = changed_ns - ? WHERE request = ?", (1, B))
    await cards.start()
    assert [one.failed for one in await cards.of(A)] == [0]
    assert [one.failed for one in await cards.of(B)] == [1]
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE card SET changed_ns = changed_ns - ?", (KEEP_NS,))
    await cards.start()
    assert await cards.of(A) == await cards.of(B) == []


async def test_the_file_is_private_and_synced(cards: Cards, file: Path) -> None:
    """Nonces are in it, and an accepted card that is forgotten would come twice."""
    await cards.begin(A, SLACK)
    for path in file.parent.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    assert cards._connection.execute("PRAGMA synchronous").fetchone() == (2,)


@pytest.mark.parametrize("damage", ["newer", "garbage", "directory", "unwritable"])
def test_a_file_that_cannot_be_used_is_one_error_that_names_it(file: Path, damage: str) -> None:
    """With what to do about it."""
    if damage == "newer":
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA user_version = 99")
    elif damage == "garbage":
        file.write_bytes(os.urandom(8192))
    elif damage == "directory":
        file.mkdir()
    else:
        file = file.parent / "missing" / file.name
    with pytest.raises(StateError, match=str(file)):
        Cards(file)

"""The card that a vote brings along: into the trail with it, and nowhere else."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import duckdb
import msgpack
import pytest

from collector.approvals.book import Book
from collector.approvals.decide import Decider
from collector.approvals.register import Register
from collector.approvals.undecided import Undecided
from collector.card import render
from collector.config import Trail
from collector.ingest.said import SaidIntake
from collector.ingest.work import Delivery
from collector.nats.publish import Publisher
from collector.shown.content import ShownCard
from collector.trail.reader import Reader
from collector.trail.rows import arrow_of, opened_row, vote_row
from collector.trail.store import open_trail
from tests.support.old_trail import take_back
from tests.support.policies import any_reviewer
from tests.unit.collector.samples import NOON_NS, make_opened
from wire import subjects
from wire.codec import decode_as, encode
from wire.ids import RequestId, VoteId
from wire.messages import Answer, Comment, Vote
from wire.signing import Signer, Verifier

HOLD = make_opened()
CARD = ShownCard.of(render(HOLD))
SIGNER = Signer.generate()


def _vote(number: int = 1, **changes: Any) -> Vote:
    fields: dict[str, Any] = {
        "vote": VoteId(f"{number:032x}"),
        "request": RequestId(HOLD.hold),
        "by": "ann@example.com",
        "via": "web",
        "answer": Answer.APPROVE,
        "reason": "so",
        "digest": HOLD.digest,
        "time_ns": NOON_NS + number,
        "card": CARD.digest,
        "shown": CARD.content,
    }
    return Vote(**(fields | changes))


def _delivery(vote: Vote) -> Delivery:
    data = encode(vote)
    subject = subjects.vote(vote.request)
    return Delivery(subjects.VOTES, 1, subject, data, SIGNER.headers(data))


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty trail."""
    connection = open_trail(Trail(file=str(tmp_path / "trail.duckdb")))
    yield connection
    connection.close()


@pytest.fixture
def book(trail: duckdb.DuckDBPyConnection) -> Iterator[Book]:
    """A book with the hold in it."""
    reader = Reader(trail)
    made = Book(Register(), reader)
    made.opened(HOLD)
    yield made
    reader.close()


def _intake(book: Book) -> SaidIntake:
    verifier = Verifier(frozenset({SIGNER.key_id}))
    decider = Decider(book, cast("Publisher", None), SIGNER, verifier, any_reviewer())
    undecided = Undecided(book, decider.settling)
    return SaidIntake(subjects.VOTES, (Vote, Comment), book, decider, undecided, verifier)


async def test_the_card_becomes_a_row_and_stays_out_of_memory(book: Book) -> None:
    """A busy centre has many votes in memory, and each card is a few thousand bytes."""
    work = await _intake(book).take([_delivery(_vote())])
    vote, card = work.rows
    assert (vote.table.name, vote.values["card"]) == ("votes", CARD.digest)
    assert card.table.name == "cards"
    assert {name: card.values[name] for name in ("card", "request", "content", "signed_by")} == {
        "card": CARD.digest,
        "request": HOLD.hold,
        "content": CARD.content,
        "signed_by": SIGNER.key_id,
    }
    record = book.register.get(RequestId(HOLD.hold))
    assert record is not None
    assert [(one.card, one.shown) for one in (*record.votes, *work.voted)] == [
        (CARD.digest, "")
    ] * 2


@pytest.mark.parametrize(
    "changes", [{"shown": CARD.content + " "}, {"card": "0" * 64}, {"card": ""}]
)
async def test_a_card_that_its_digest_is_not_of_is_refused(
    book: Book, changes: dict[str, Any]
) -> None:
    """With the vote, which then counts for nothing: nobody knows what it was about."""
    work = await _intake(book).take([_delivery(_vote(**changes))])
    (row,) = work.rows
    assert (row.table.name, row.values["reason"]) == (
        "rejected",
        "the digest is not that of the card as shown",
    )
    record = book.register.get(RequestId(HOLD.hold))
    assert record is not None and record.votes == ()


def test_a_vote_of_an_earlier_collector_names_no_card() -> None:
    """It is read as it was said."""
    outer = msgpack.unpackb(encode(_vote()))
    del outer["b"]["card"], outer["b"]["shown"]
    assert decode_as(msgpack.packb(outer), Vote) == _vote(card="", shown="")


def test_a_vote_is_read_back_with_the_card_that_it_names(tmp_path: Path) -> None:
    """Also beside one that was taken in before there was such a column."""
    settings = Trail(file=str(tmp_path / "trail.duckdb"))
    before = open_trail(settings)
    _add(before, opened_row(HOLD, encode(HOLD), 1), vote_row(_vote(1), "key", 1))
    columns = [one[:3] for one in before.execute("DESCRIBE votes").fetchall()]
    before.execute("DROP VIEW what_reviewers_saw")
    before.execute("DROP TABLE cards")
    take_back(before, 9)
    before.close()
    today = open_trail(settings)
    assert [one[:3] for one in today.execute("DESCRIBE votes").fetchall()] == columns
    _add(today, vote_row(_vote(2), "key", 1))
    reader = Reader(today)
    (record,) = asyncio.run(reader.records([RequestId(HOLD.hold)]))
    reader.close()
    assert [vote.card for vote in record.votes] == ["", CARD.digest]
    assert record.votes[1] == replace(_vote(2), shown="")
    saw = "SELECT card, card_is_of_content, card_content FROM what_reviewers_saw ORDER BY card"
    assert today.execute(saw).fetchall() == [("", None, None), (CARD.digest, None, None)]
    today.close()


def _add(trail: duckdb.DuckDBPyConnection, *rows: Any) -> None:
    for row in rows:
        trail.register("incoming", arrow_of(row.table, [row]))
        trail.execute(f"INSERT INTO {row.table.name} BY NAME SELECT * FROM incoming")  # noqa: S608
        trail.unregister("incoming")

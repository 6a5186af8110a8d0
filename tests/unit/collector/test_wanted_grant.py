"""The time that an approval is for is in the trail: read back as it was said, and told where it
came to nothing."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.config import Trail
from collector.orders.terms import grant_of
from collector.trail.orders import order_row
from collector.trail.reader import Reader
from collector.trail.rows import Row, arrow_of, decision_row, opened_row, vote_row
from collector.trail.store import open_trail
from tests.support.old_trail import take_back
from tests.support.orders import PROGRAM
from tests.unit.collector.samples import NOON_NS, make_act, make_decision, make_opened
from wire.codec import encode
from wire.ids import RequestId, VoteId
from wire.messages import Answer, HoldOpened, Vote, WantedGrant

MINUTE = 60 * 10**9
TERMS = st.builds(
    WantedGrant,
    minutes=st.integers(1, 2**40),
    uses=st.integers(1, 2**40),
    whole_subject=st.booleans(),
)


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty trail."""
    connection = open_trail(Trail(file=str(tmp_path / "trail.duckdb")))
    yield connection
    connection.close()


def _add(trail: duckdb.DuckDBPyConnection, *rows: Row) -> None:
    for row in rows:
        trail.register("incoming", arrow_of(row.table, [row]))
        trail.execute(f"INSERT INTO {row.table.name} BY NAME SELECT * FROM incoming")  # noqa: S608
        trail.unregister("incoming")


def _hold() -> HoldOpened:
    act = make_act(environment={}, boot_ns=1000 * 10**9, inode=5)
    return make_opened(
        act, not_grantable="", program=PROGRAM, deadline_boot_ns=0, deadline_ns=0
    )  # fmt: skip


def _vote(number: int, hold: HoldOpened, grant: WantedGrant | None, time_ns: int) -> Vote:
    return Vote(
        vote=VoteId(f"{number:032x}"),
        request=RequestId(hold.hold),
        by=f"p{number}",
        via="web",
        answer=Answer.APPROVE,
        reason="r",
        digest=hold.digest,
        time_ns=time_ns,
        grant=grant,
    )


@given(st.lists(st.none() | TERMS, min_size=1, max_size=4))
def test_a_vote_comes_back_with_the_time_that_it_is_for(wanted: list[WantedGrant | None]) -> None:
    """So that a restart changes neither what a request shows nor what its votes come to."""
    hold = _hold()
    votes = tuple(_vote(number, hold, one, NOON_NS + number) for number, one in enumerate(wanted))
    with TemporaryDirectory() as directory:
        connection = open_trail(Trail(file=f"{directory}/trail.duckdb"))
        _add(connection, opened_row(hold, encode(hold), 1), *(vote_row(v, "key", 1) for v in votes))
        reader = Reader(connection)
        (record,) = asyncio.run(reader.records([RequestId(hold.hold)]))
        reader.close()
        connection.close()
    assert record.votes == votes


@pytest.mark.parametrize(
    ("minutes_ago", "why"),
    [(0, "it is being made"), (20, "its time was over before the centre could make it")],
)
def test_an_approval_for_a_time_without_a_grant_is_told(
    trail: duckdb.DuckDBPyConnection, minutes_ago: int, why: str
) -> None:
    """Of several people the least that any asked for; and no more once the grant is there."""
    now = time.time_ns() - minutes_ago * MINUTE
    hold = _hold()
    terms = WantedGrant(minutes=15, uses=5, whole_subject=True)
    votes = (
        _vote(1, hold, terms, now),
        _vote(2, hold, replace(terms, uses=3, whole_subject=False), now + 1),
    )
    decision = make_decision(votes=tuple(vote.vote for vote in votes), time_ns=now + 1)
    decision = replace(decision, request=RequestId(hold.hold), digest=hold.digest, by="p1, p2")
    _add(trail, opened_row(hold, encode(hold), 1), *(vote_row(vote, "key", 1) for vote in votes))
    _add(trail, decision_row(decision, "key", 1))
    found = trail.execute(
        'SELECT minutes, uses, whole_subject, "by", why FROM grants_not_made'
    ).fetchall()
    assert found == [(15, 3, False, "p1, p2", why)]

    reader = Reader(trail)
    (record,) = asyncio.run(reader.records([decision.request]))
    reader.close()
    grant = grant_of(record)
    assert grant is not None and (grant.uses, grant.session) == (3, hold.act.session)
    _add(trail, order_row(grant, encode(grant), "key", 1))
    assert trail.execute("SELECT * FROM grants_not_made").fetchall() == []


@pytest.mark.parametrize("answer", list(Answer))
def test_what_was_for_this_once_misses_no_grant(
    trail: duckdb.DuckDBPyConnection, answer: Answer
) -> None:
    """One of two people is enough to make it once; and a denial makes nothing at all."""
    hold = _hold()
    now = time.time_ns()
    votes = [_vote(1, hold, WantedGrant(minutes=15, uses=5), now), _vote(2, hold, None, now + 1)]
    if answer is Answer.DENY:
        votes = [votes[0], replace(votes[1], answer=answer)]
    decision = make_decision(answer, votes=tuple(vote.vote for vote in votes), time_ns=now + 1)
    decision = replace(decision, request=RequestId(hold.hold), digest=hold.digest)
    _add(trail, opened_row(hold, encode(hold), 1), *(vote_row(vote, "key", 1) for vote in votes))
    _add(trail, decision_row(decision, "key", 1))
    assert trail.execute("SELECT * FROM grants_not_made").fetchall() == []


def test_a_trail_of_version_5_has_room_for_it(tmp_path: Path) -> None:
    """Its votes are for no time that is known, and stay what they were otherwise."""
    settings = Trail(file=str(tmp_path / "trail.duckdb"))
    before = open_trail(settings)
    hold = _hold()
    wanted = WantedGrant(minutes=15, uses=5)
    _add(before, opened_row(hold, encode(hold), 1))
    _add(before, vote_row(_vote(1, hold, wanted, NOON_NS), "key", 1))
    columns = [one[:3] for one in before.execute("DESCRIBE votes").fetchall()]
    before.execute("DROP TABLE sign_ins")
    take_back(before, 5)
    before.close()

    today = open_trail(settings)
    assert [one[:3] for one in today.execute("DESCRIBE votes").fetchall()] == columns
    _add(today, vote_row(_vote(2, hold, wanted, NOON_NS + 1), "key", 1))
    reader = Reader(today)
    (record,) = asyncio.run(reader.records([RequestId(hold.hold)]))
    reader.close()
    assert [vote.grant for vote in record.votes] == [None, wanted]
    assert today.execute("SELECT count(*) FROM who_signed_in").fetchall() == [(0,)]
    today.close()

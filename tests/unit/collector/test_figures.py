"""What the trail says of how people decide."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from collector.config import Trail
from collector.trail.reader import Reader
from collector.trail.rows import decision_row, opened_row, vote_row
from collector.trail.store import open_trail
from tests.support.filled_trail import add
from tests.support.wire_host import opened, rule
from wire.ids import HostId, RequestId, VoteId
from wire.messages import Answer, Decision, Ground, HoldOpened, Vote

HOST = HostId("a" * 32)
S = 1_000_000_000


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty trail."""
    connection = open_trail(Trail(file=str(tmp_path / "trail.duckdb")))
    yield connection
    connection.close()


def _vote(number: int, by: str, hold: HoldOpened, answer: Answer, after_s: float) -> Vote:
    return Vote(
        vote=VoteId(f"{number:032x}"),
        request=RequestId(hold.hold),
        by=by,
        via="web",
        answer=answer,
        reason="r",
        digest=hold.digest,
        time_ns=hold.opened_ns + int(after_s * S),
    )


def _decision(hold: HoldOpened, *votes: Vote, ground: Ground = Ground.DECISION) -> Decision:
    return Decision(
        request=RequestId(hold.hold),
        answer=votes[-1].answer if votes else Answer.DENY,
        ground=ground,
        by=", ".join(vote.by for vote in votes),
        via="web",
        reason="r",
        digest=hold.digest,
        votes=tuple(vote.vote for vote in votes),
        time_ns=votes[-1].time_ns if votes else hold.opened_ns + S,
    )


def test_each_voter_is_counted_for_their_own_answers(trail: duckdb.DuckDBPyConnection) -> None:
    """Of a quorum of two each has a time of their own, and one who was not needed counts too."""
    first, second = opened(HOST), opened(HOST)
    ann = _vote(1, "ann", first, Answer.APPROVE, 1)
    bob = _vote(2, "bob", first, Answer.APPROVE, 30)
    ann_again = _vote(3, "ann", second, Answer.DENY, 11)
    add(trail, *(opened_row(one, b"", 1) for one in (first, second)))
    add(trail, *(vote_row(one, "key", 1) for one in (ann, bob, ann_again)))
    add(trail, decision_row(_decision(first, ann, bob), "key", 1))
    found = trail.execute(
        "SELECT who, answers, median_seconds, p90_seconds, share_under_2_s, share_approved"
        " FROM reviewer_figures"
    ).fetchall()
    assert found == [("ann", 2, 6, 10, 0.5, 0.5), ("bob", 1, 30, 30, 0, 1)]


def test_a_rule_s_figures_count_what_people_decided_together_once(
    trail: duckdb.DuckDBPyConnection,
) -> None:
    """Three identical holds are one decision of three holds; silence is nobody's decision."""
    holds = [opened(HOST, rule_facts=rule(id="net.out")) for _ in range(3)]
    silent = opened(HOST, rule_facts=rule(id="net.out"))
    vote = _vote(1, "ann", holds[0], Answer.APPROVE, 4)
    add(trail, *(opened_row(one, b"", 1) for one in (*holds, silent)))
    add(trail, vote_row(vote, "key", 1))
    add(trail, *(decision_row(_decision(one, vote), "key", 1) for one in holds))
    add(trail, decision_row(_decision(silent, ground=Ground.TIMEOUT_POLICY), "key", 1))
    found = trail.execute(
        "SELECT rule, decisions, holds, median_seconds, share_approved FROM rule_figures"
    ).fetchall()
    assert found == [("net.out", 1, 3, 4, 1)]


def test_figures_since_a_time_leave_out_what_was_before(trail: duckdb.DuckDBPyConnection) -> None:
    """What the API and the command line show."""
    old, new = opened(HOST), opened(HOST)
    votes = [_vote(1, "ann", old, Answer.DENY, 1), _vote(2, "bob", new, Answer.DENY, 100)]
    add(trail, *(opened_row(one, b"", 1) for one in (old, new)))
    add(trail, *(vote_row(one, "key", 1) for one in votes))
    add(
        trail,
        *(decision_row(_decision(h, v), "k", 1) for h, v in zip((old, new), votes, strict=True)),
    )
    reader = Reader(trail)
    found = asyncio.run(reader.figures(new.opened_ns + 50 * S))
    reader.close()
    assert [one["who"] for one in found["reviewers"]] == ["bob"]
    assert [one["decisions"] for one in found["rules"]] == [1]
    assert found["rules"][0]["last"].endswith("Z")


def test_a_host_whose_clock_is_ahead_makes_no_time_negative(
    trail: duckdb.DuckDBPyConnection,
) -> None:
    """An answer before the opening, by the clocks, took no time at all."""
    hold = opened(HOST)
    add(trail, opened_row(hold, b"", 1), vote_row(_vote(1, "ann", hold, Answer.DENY, -5), "k", 1))
    assert trail.execute("SELECT median_seconds FROM reviewer_figures").fetchall() == [(0,)]

"""Records of requests put together again from the rows of the trail."""

from collections.abc import Sequence
from typing import Any

import duckdb

from collector.approvals.record import Record
from collector.asks.opened import as_opened
from wire.codec import decode
from wire.errors import MessageError
from wire.ids import HoldId, HostId, RequestId, VerdictId, VoteId
from wire.messages import (
    Answer,
    AskOpened,
    Comment,
    Decision,
    Ground,
    HoldOpened,
    HoldState,
    HoldStateName,
    Vote,
    WantedGrant,
)

Rows = list[tuple[Any, ...]]
Said = Vote | Comment | Decision

_VOTE = (
    'vote, "by", via, answer, reason, digest, time_ns, groups, policy, counts_for, ground, names, '
    "also, also_digests, grant_minutes, grant_uses, grant_whole_subject, card"
)
_COMMENT = 'comment, "by", via, text, time_ns'
_DECISION = 'answer, ground, "by", via, reason, digest, votes, time_ns, policy'


def read_records(
    cursor: duckdb.DuckDBPyConnection, requests: Sequence[RequestId]
) -> tuple[Record, ...]:
    """Return the records of those requests that are there; a hold comes from the host's bytes."""

    def rows(columns: str, table: str, key: str) -> Rows:
        return cursor.execute(
            f"SELECT {key}, {columns} FROM {table}"  # noqa: S608 - fixed text, values are bound
            f" WHERE {key} IN (SELECT unnest(?::VARCHAR[]))",
            [list(requests)],
        ).fetchall()

    cursor.execute("BEGIN TRANSACTION READ ONLY")
    states: dict[str, list[HoldState]] = {}
    for row in rows(
        "host, sequence, state, time_ns, ground, verdict, "
        '"by", reason, detail, capped, denied_beyond',
        "hold_states",
        "hold",
    ):
        states.setdefault(row[0], []).append(_state(row))
    votes: dict[str, list[Vote]] = {}
    wanted = set(requests)
    for vote in _votes_on(cursor, requests):
        for hold in wanted.intersection((vote.request, *map(RequestId, vote.also))):
            votes.setdefault(hold, []).append(vote)
    comments: dict[str, list[Comment]] = {}
    for row in rows(_COMMENT, "comments", "request"):
        comments.setdefault(row[0], []).append(_comment(row))
    decisions = {row[0]: _decision(row) for row in rows(_DECISION, "decisions", "request")}
    opened = [
        (_opened(message), heard_ns)
        for _, message, heard_ns in rows("message, received_ns", "holds", "hold")
    ]
    cursor.execute("COMMIT")
    return tuple(
        Record(
            opened=hold,
            states=tuple(sorted(states.get(hold.hold, ()), key=lambda s: s.sequence)),
            votes=tuple(sorted(votes.get(hold.hold, ()), key=lambda v: (v.time_ns, v.vote))),
            comments=tuple(
                sorted(comments.get(hold.hold, ()), key=lambda c: (c.time_ns, c.comment))
            ),
            decision=decisions.get(hold.hold),
            heard_ns=heard_ns,
        )
        for hold, heard_ns in opened
    )


def read_early(cursor: duckdb.DuckDBPyConnection) -> tuple[Said, ...]:
    """Return what people said of holds that are not there."""

    def rows(columns: str, table: str) -> Rows:
        return cursor.execute(
            f"SELECT request, {columns} FROM {table} ANTI JOIN holds USING (request)"  # noqa: S608
        ).fetchall()

    early = cursor.execute(
        f"SELECT request, {_VOTE} FROM votes WHERE vote IN"  # noqa: S608 - fixed text
        " (SELECT vote FROM (SELECT vote, unnest(list_append(also, request)) AS hold FROM votes)"
        "  ANTI JOIN holds USING (hold))"
    ).fetchall()
    return (
        *map(_vote, early),
        *map(_comment, rows(_COMMENT, "comments")),
        *map(_decision, rows(_DECISION, "decisions")),
    )


def _votes_on(cursor: duckdb.DuckDBPyConnection, requests: Sequence[RequestId]) -> list[Vote]:
    """Return the votes that name any of these holds."""
    rows = cursor.execute(
        f"SELECT request, {_VOTE} FROM votes"  # noqa: S608 - fixed text, values are bound
        " WHERE request IN (SELECT unnest($1::VARCHAR[])) OR list_has_any(also, $1::VARCHAR[])",
        [list(requests)],
    ).fetchall()
    return [_vote(row) for row in rows]


def _opened(packed: bytes) -> HoldOpened:
    message = decode(packed)
    if isinstance(message, AskOpened):
        return as_opened(message)
    if not isinstance(message, HoldOpened):
        raise MessageError(f"the trail has a message of type {message.type} for a hold")
    return message


def _state(row: tuple[Any, ...]) -> HoldState:
    hold, host, sequence, state, time_ns, ground, verdict, by, reason, detail, *later = row
    capped, denied_beyond = later
    return HoldState(
        hold=HoldId(hold),
        host=HostId(host),
        sequence=sequence,
        state=HoldStateName(state),
        time_ns=time_ns,
        ground=None if ground is None else Ground(ground),
        verdict=None if verdict is None else VerdictId(verdict),
        by=by,
        reason=reason,
        detail=detail,
        capped=None if capped is None else HoldId(capped),
        denied_beyond=denied_beyond,
    )


def _vote(row: tuple[Any, ...]) -> Vote:
    request, vote, by, via, answer, reason, digest, time_ns, *later = row
    groups, policy, counts, ground, names, also, also_digests, *wanted, card = later
    return Vote(
        vote=VoteId(vote),
        request=RequestId(request),
        by=by,
        via=via,
        answer=Answer(answer),
        reason=reason,
        digest=digest,
        time_ns=time_ns,
        groups=tuple(groups),
        policy=policy,
        counts_for=tuple(counts),
        ground=Ground(ground),
        names=tuple(names),
        also=tuple(HoldId(hold) for hold in also),
        also_digests=tuple(also_digests),
        grant=_wanted(*wanted),
        card=card,
    )


def _wanted(
    minutes: int | None, uses: int | None, whole_subject: bool | None
) -> WantedGrant | None:
    if minutes is None or uses is None:
        return None
    return WantedGrant(minutes=minutes, uses=uses, whole_subject=bool(whole_subject))


def _comment(row: tuple[Any, ...]) -> Comment:
    request, comment, by, via, text, time_ns = row
    return Comment(
        comment=VoteId(comment),
        request=RequestId(request),
        by=by,
        via=via,
        text=text,
        time_ns=time_ns,
    )


def _decision(row: tuple[Any, ...]) -> Decision:
    request, answer, ground, by, via, reason, digest, votes, time_ns, policy = row
    return Decision(
        request=RequestId(request),
        answer=Answer(answer),
        ground=Ground(ground),
        by=by,
        via=via,
        reason=reason,
        digest=digest,
        votes=tuple(VoteId(vote) for vote in votes),
        time_ns=time_ns,
        policy=policy,
    )

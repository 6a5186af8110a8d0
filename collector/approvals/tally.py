"""What the votes on a request add up to. Pure: the same votes give the same, whoever counts them.

Any denial ends it. Approvals fill the quotas of the policy; a person fills one place, however many
groups they are in, and however often and under whichever of their names they say it. One approval
more never makes less of those before it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from collector.identity.names import apart, forms_of
from collector.policy.model import Quota
from wire.ids import RequestId
from wire.messages import Answer, Decision, Ground, Vote

# The channel of a decision that nobody made.
BY_POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Standing:
    """How the votes stand: `answer` None while places are `missing`; `counted` made it so."""

    answer: Answer | None
    ground: Ground
    counted: tuple[Vote, ...]
    missing: tuple[Quota, ...]


def tally(
    votes: Sequence[Vote], quotas: Sequence[Quota], break_glass: Collection[str] = ()
) -> Standing:
    """Return how the votes stand against the quotas.

    `break_glass`: whose vote to break the glass is obeyed here, whatever another collector admits.
    """
    ordered = sorted(votes, key=lambda vote: (vote.time_ns, vote.vote))
    for vote in ordered:
        if vote.answer is Answer.DENY:
            return Standing(Answer.DENY, Ground.DECISION, (vote,), ())
    for vote in ordered:
        if vote.ground is Ground.BREAK_GLASS and set(break_glass) & set(vote.groups):
            return Standing(Answer.APPROVE, Ground.BREAK_GLASS, (vote,), ())
    people = _people([vote for vote in ordered if vote.ground is Ground.DECISION])
    places = [quota.group for quota in quotas for _ in range(quota.votes)]
    seated = seat([_groups(votes) for votes in people], places)
    # The last word of each for that place: it may be the one that says why.
    counted = [_last(people[who], places[place]) for place, who in seated.items()]
    missing = _missing(quotas, [place for index, place in enumerate(places) if index not in seated])
    return Standing(
        None if missing else Answer.APPROVE,
        Ground.DECISION,
        tuple(sorted(counted, key=lambda vote: (vote.time_ns, vote.vote))),
        missing,
    )


def seat(people: Sequence[Collection[str]], places: Sequence[str]) -> dict[int, int]:
    """Return which of the people fills which place, as many as can be; both by their number.

    A person is given by the groups that they count for. Who could fill another place makes room.
    """
    seated: dict[int, int] = {}

    def find(who: int, tried: set[int]) -> bool:
        for place, group in enumerate(places):
            if place in tried or group not in people[who]:
                continue
            tried.add(place)
            if place not in seated or find(seated[place], tried):
                seated[place] = who
                return True
        return False

    for who in range(len(people)):
        find(who, set())
    return seated


def decision_of(
    request: RequestId, standing: Standing, policy: str, digest: str | None = None
) -> Decision:
    """Return the decision that the votes have come to: the same, to the byte, whoever makes it.

    `digest` is of the hold's own act, if the votes were on a request of several holds.
    """
    assert standing.answer is not None and standing.counted, "nothing is decided"
    votes, last = standing.counted, standing.counted[-1]
    return Decision(
        request=request,
        answer=standing.answer,
        ground=standing.ground,
        by=", ".join(f'"{vote.by}"' if "," in vote.by else vote.by for vote in votes),
        via=last.via,
        reason="; ".join(dict.fromkeys(vote.reason for vote in votes if vote.reason)),
        digest=last.digest if digest is None else digest,
        votes=tuple(vote.vote for vote in votes),
        time_ns=last.time_ns,
        policy=policy,
    )


def missing_words(missing: Sequence[Quota]) -> str:
    """Return who must still approve, in words."""
    words = [
        f"{quota.votes} of {quota.group}"
        if quota.group
        else f"{quota.votes} {'reviewer' if quota.votes == 1 else 'reviewers'}"
        for quota in missing
    ]
    return " and ".join(words)


def silence_of(request: RequestId, digest: str, policy: str, deadline_ns: int) -> Decision:
    """Return the decision that nobody's answer by the policy's deadline comes to: a denial."""
    return Decision(
        request=request,
        answer=Answer.DENY,
        ground=Ground.TIMEOUT_POLICY,
        by="",
        via=BY_POLICY,
        reason="nobody decided in time",
        digest=digest,
        votes=(),
        time_ns=deadline_ns,
        policy=policy,
    )


def _people(approvals: Sequence[Vote]) -> list[list[Vote]]:
    """Return the approvals of each person, whoever came first in front."""
    return [
        [approvals[index] for index in mine]
        for mine in apart([forms_of((vote.by, *vote.names)) for vote in approvals])
    ]


def _groups(votes: Sequence[Vote]) -> frozenset[str]:
    return frozenset(group for vote in votes for group in vote.counts_for)


def _last(votes: Sequence[Vote], group: str) -> Vote:
    return next(vote for vote in reversed(votes) if group in vote.counts_for)


def _missing(quotas: Sequence[Quota], empty: Sequence[str]) -> tuple[Quota, ...]:
    groups = dict.fromkeys(quota.group for quota in quotas)
    return tuple(Quota(group=group, votes=empty.count(group)) for group in groups if group in empty)

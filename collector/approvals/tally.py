"""What the votes on a request add up to. Pure: the same votes give the same, whoever counts them.

Any denial ends it. Approvals fill the quotas of the policy; a person fills one place, however many
groups they are in, and however often they say it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from collector.identity.names import same_person
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


def tally(votes: Sequence[Vote], quotas: Sequence[Quota]) -> Standing:
    """Return how the votes stand against the quotas."""
    ordered = sorted(votes, key=lambda vote: (vote.time_ns, vote.vote))
    for vote in ordered:
        if vote.answer is Answer.DENY:
            return Standing(Answer.DENY, Ground.DECISION, (vote,), ())
    for vote in ordered:
        if vote.ground is Ground.BREAK_GLASS:
            return Standing(Answer.APPROVE, Ground.BREAK_GLASS, (vote,), ())
    approvals = _one_each(ordered)
    places = [quota.group for quota in quotas for _ in range(quota.votes)]
    filled = _seat(approvals, places)
    counted = tuple(vote for vote in approvals if vote in filled.values())
    missing = _missing(quotas, [place for index, place in enumerate(places) if index not in filled])
    answer = None if missing else Answer.APPROVE
    return Standing(answer, Ground.DECISION, counted, missing)


def decision_of(request: RequestId, standing: Standing, policy: str) -> Decision:
    """Return the decision that the votes have come to: the same, to the byte, whoever makes it."""
    assert standing.answer is not None and standing.counted, "nothing is decided"
    votes, last = standing.counted, standing.counted[-1]
    return Decision(
        request=request,
        answer=standing.answer,
        ground=standing.ground,
        by=", ".join(vote.by for vote in votes),
        via=last.via,
        reason="; ".join(dict.fromkeys(vote.reason for vote in votes if vote.reason)),
        digest=last.digest,
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


def _one_each(approvals: Sequence[Vote]) -> list[Vote]:
    """Return the last approval of each person: by then they may count for more."""
    kept: list[Vote] = []
    for vote in approvals:
        kept = [other for other in kept if not same_person(vote.by, other.by)]
        kept.append(vote)
    return kept


def _seat(approvals: Sequence[Vote], places: Sequence[str]) -> dict[int, Vote]:
    """Return who fills which place, as many as can be: someone of two groups makes room."""
    filled: dict[int, Vote] = {}

    def seat(vote: Vote, tried: set[int]) -> bool:
        for index, group in enumerate(places):
            if index in tried or group not in vote.counts_for:
                continue
            tried.add(index)
            if index not in filled or seat(filled[index], tried):
                filled[index] = vote
                return True
        return False

    for vote in approvals:
        seat(vote, set())
    return filled


def _missing(quotas: Sequence[Quota], empty: Sequence[str]) -> tuple[Quota, ...]:
    groups = dict.fromkeys(quota.group for quota in quotas)
    return tuple(Quota(group=group, votes=empty.count(group)) for group in groups if group in empty)

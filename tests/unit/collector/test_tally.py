"""What votes add up to: quotas of different people, deny wins, and nothing else releases."""

from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.approvals.tally import decision_of, missing_words, silence_of, tally
from collector.identity.names import same_person
from collector.policy.model import Quota
from wire.ids import RequestId, VoteId
from wire.messages import Answer, Ground, Vote

REQUEST = RequestId("1" * 32)
DBA, SECURITY = Quota(group="dba"), Quota(group="security")


def vote(
    by: str,
    *groups: str,
    answer: Answer = Answer.APPROVE,
    at: int = 1,
    ground: Ground = Ground.DECISION,
    names: tuple[str, ...] = (),
) -> Vote:
    """Return a vote that counts for those groups."""
    return Vote(
        vote=VoteId("-".join((by, str(at), *groups))),
        request=REQUEST,
        by=by,
        via="cli",
        answer=answer,
        reason=f"{by} says so",
        digest="d",
        time_ns=at,
        counts_for=groups,
        ground=ground,
        groups=groups,
        names=names,
    )


def test_one_person_of_two_groups_fills_one_place() -> None:
    """However many groups they are in."""
    both = vote("ann", "dba", "security")
    assert tally([both], [DBA, SECURITY]).answer is None
    assert tally([both, vote("bob", "dba", at=2)], [DBA, SECURITY]).answer is Answer.APPROVE


def test_somebody_of_two_groups_makes_room_whatever_the_order() -> None:
    """Who could fill either place takes the one that the other cannot."""
    votes = [vote("ann", "dba", "security", at=1), vote("bob", "dba", at=2), vote("eve", at=3)]
    for order in permutations(votes):
        standing = tally(order, [DBA, SECURITY])
        assert standing.answer is Answer.APPROVE
        assert [one.by for one in standing.counted] == ["ann", "bob"]


@pytest.mark.parametrize("other", ["ann", "ANN@example.com", "CORP\\ann", "ann@corp.local"])
def test_a_person_counts_once_under_any_of_their_names(other: str) -> None:
    """A second account of the same name is the same person."""
    standing = tally([vote("ann@example.com", ""), vote(other, "", at=2)], [Quota(votes=2)])
    assert standing.answer is None
    assert missing_words(standing.missing) == "1 reviewer"


def test_what_is_missing_is_said_by_group() -> None:
    """In the order of the policy."""
    standing = tally([vote("ann", "dba")], [Quota(group="dba", votes=2), SECURITY])
    assert missing_words(standing.missing) == "1 of dba and 1 of security"


def test_a_denial_ends_it_before_and_after_approvals() -> None:
    """Also of somebody who approved before."""
    for votes in (
        [vote("ann", ""), vote("ann", "", answer=Answer.DENY, at=2)],
        [vote("bob", "", answer=Answer.DENY), vote("ann", "", at=2)],
        [vote("ann", "duty", ground=Ground.BREAK_GLASS), vote("bob", "", answer=Answer.DENY, at=2)],
    ):
        assert tally(votes, [Quota()], ["duty"]).answer is Answer.DENY


def test_breaking_the_glass_needs_nobody_else_and_is_named() -> None:
    """The decision carries its ground."""
    standing = tally([vote("ann", "duty", ground=Ground.BREAK_GLASS)], [DBA, SECURITY], ["duty"])
    decision = decision_of(REQUEST, standing, "p")
    assert (decision.answer, decision.ground, decision.by) == (
        Answer.APPROVE,
        Ground.BREAK_GLASS,
        "ann",
    )


def test_a_broken_glass_counts_only_where_the_policy_lets_that_person() -> None:
    """Another collector may have another file: what it admits is then no approval here at all."""
    broken = vote("ann", "dba", "", ground=Ground.BREAK_GLASS)
    for allowed in ([], ["duty"]):
        assert tally([broken], [Quota()], allowed).answer is None
    assert tally([broken], [Quota(), SECURITY], ["dba"]).ground is Ground.BREAK_GLASS


def test_a_person_counts_once_whatever_else_they_are_called() -> None:
    """A second account, a display name, an address of before the wedding."""
    token = vote("Ann Smith", "")
    account = vote("a.smith@example.com", "", at=2, names=("Ann Smith", "s-17"))
    renamed = vote("a.jones@example.com", "", at=3, names=("Ann Jones", "s-17"))
    assert missing_words(tally([token, account, renamed], [Quota(votes=2)]).missing) == "1 reviewer"
    bob = vote("bob", "", at=4)
    assert tally([token, renamed, bob], [Quota(votes=3)]).answer is Answer.APPROVE
    # Whose link to the others is known only later joins them then.
    assert tally([token, renamed, bob, account], [Quota(votes=3)]).answer is None


def test_a_namesake_of_another_group_takes_no_place_away() -> None:
    """They count as one person, who still fills the place that they filled before."""
    votes = [vote("ann@a", "dba"), vote("ann@b", "security", at=2)]
    assert missing_words(tally(votes, [DBA, SECURITY]).missing) == "1 of security"
    assert tally([*votes, vote("eve", "security", at=3)], [DBA, SECURITY]).answer is Answer.APPROVE


def test_a_vote_of_an_older_collector_fills_no_reserved_place() -> None:
    """Its counts_for is not there, and stands for any reviewer."""
    old = Vote(
        vote=VoteId("v"),
        request=REQUEST,
        by="ann",
        via="cli",
        answer=Answer.APPROVE,
        reason="",
        digest="d",
        time_ns=1,
    )
    assert tally([old], [DBA]).answer is None
    assert tally([old], [Quota()]).answer is Answer.APPROVE


@pytest.mark.parametrize("ground", sorted(set(Ground) - {Ground.DECISION, Ground.BREAK_GLASS}))
def test_a_vote_has_no_other_ground(ground: Ground) -> None:
    """Nothing that only a host or a grant can say passes for an approval."""
    assert tally([vote("ann", "", ground=ground)], [Quota()], [""]).answer is None


def test_a_name_with_a_comma_is_not_two_people() -> None:
    """In the decision it is quoted."""
    votes = [vote("Smith, Ann", ""), vote("bob", "", at=2)]
    assert decision_of(REQUEST, tally(votes, [Quota(votes=2)]), "p").by == '"Smith, Ann", bob'


def test_a_decision_names_everybody_whose_vote_counted() -> None:
    """And each reason once; it is as old as the vote that completed it."""
    votes = [vote("ann", "dba", at=3), vote("bob", "security", at=5)]
    decision = decision_of(REQUEST, tally(votes, [DBA, SECURITY]), "p")
    assert decision.by == "ann, bob"
    assert decision.reason == "ann says so; bob says so"
    assert (decision.votes, decision.time_ns, decision.policy) == (
        ("ann-3-dba", "bob-5-security"),
        5,
        "p",
    )


def test_silence_denies_and_is_nobodys() -> None:
    """Its ground is not a decision of people."""
    decision = silence_of(REQUEST, "d", "p", 7)
    assert (decision.answer, decision.ground, decision.by, decision.votes) == (
        Answer.DENY,
        Ground.TIMEOUT_POLICY,
        "",
        (),
    )


_NAMES = st.sampled_from(["ann", "ann@x", "bob", "eve", "joe"])
_VOTES = st.lists(
    st.builds(
        vote,
        _NAMES,
        st.sampled_from(["", "dba", "security"]),
        st.sampled_from(["", "dba", "security"]),
        answer=st.sampled_from([Answer.APPROVE, Answer.APPROVE, Answer.APPROVE, Answer.DENY]),
        at=st.integers(1, 9),
    ),
    max_size=7,
)
_QUOTAS = st.lists(
    st.builds(Quota, group=st.sampled_from(["", "dba", "security"]), votes=st.integers(1, 2)),
    min_size=1,
    max_size=3,
)


@given(_VOTES, _QUOTAS, st.randoms())
def test_order_and_repetition_change_nothing(
    votes: list[Vote], quotas: list[Quota], random: Random
) -> None:
    """The same votes give the same decision in whatever order, and however often, they come."""
    shuffled = [*votes, *votes]
    random.shuffle(shuffled)
    assert tally(shuffled, quotas) == tally(votes, quotas)


@given(_VOTES, _QUOTAS)
def test_an_approval_has_as_many_people_as_were_asked_for(
    votes: list[Vote], quotas: list[Quota]
) -> None:
    """No two of them the same person, each of a group that was asked, and nobody against it."""
    standing = tally(votes, quotas)
    if standing.answer is not Answer.APPROVE:
        return
    assert not any(one.answer is Answer.DENY for one in votes)
    assert len(standing.counted) == sum(quota.votes for quota in quotas)
    for one in standing.counted:
        assert {quota.group for quota in quotas} & set(one.counts_for)
        others = [other for other in standing.counted if other is not one]
        assert not any(same_person(one.by, other.by) for other in others)


@given(_VOTES, _QUOTAS, _VOTES)
def test_one_approval_more_never_empties_a_place(
    votes: list[Vote], quotas: list[Quota], more: list[Vote]
) -> None:
    """Whoever adds their approval can at worst add nothing."""
    votes = [one for one in (*votes, *more) if one.answer is Answer.APPROVE]
    filled = [len(tally(votes[:count], quotas).counted) for count in range(len(votes) + 1)]
    assert filled == sorted(filled)


@given(_VOTES, _QUOTAS)
def test_as_many_places_are_filled_as_can_be(votes: list[Vote], quotas: list[Quota]) -> None:
    """Against trying out every way to seat the people."""
    standing = tally(votes, quotas)
    if any(one.answer is Answer.DENY for one in votes):
        assert standing.answer is Answer.DENY
        return
    places = [quota.group for quota in quotas for _ in range(quota.votes)]
    people: dict[str, frozenset[str]] = {}
    for vote_ in votes:
        who = vote_.by.partition("@")[0]
        people[who] = people.get(who, frozenset()) | frozenset(vote_.counts_for)

    def most(index: int, free: tuple[frozenset[str], ...]) -> int:
        if index == len(places):
            return 0
        best = most(index + 1, free)
        for one in free:
            if places[index] in one:
                rest = tuple(other for other in free if other is not one)
                best = max(best, 1 + most(index + 1, rest))
        return best

    assert len(standing.counted) == most(0, tuple(people.values()))
    assert (standing.answer is Answer.APPROVE) is (len(standing.counted) == len(places))

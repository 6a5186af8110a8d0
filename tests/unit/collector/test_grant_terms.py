"""What several votes come to as a grant: the narrowest of what was asked for, or nothing."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.approvals.record import Record
from collector.orders.terms import grant_of, grantable_by, narrowest
from tests.support.orders import PROGRAM
from tests.unit.collector.samples import NOON_NS, make_act, make_decision, make_opened
from wire.ids import RequestId, VoteId
from wire.messages import Answer, Ground, Vote, WantedGrant

SECOND = 10**9
MINUTE = 60 * SECOND
OPENED = make_opened(
    make_act(environment={}, boot_ns=1_000 * SECOND, inode=5),
    not_grantable="",
    program=PROGRAM,
    deadline_boot_ns=0,
    deadline_ns=0,
)
TERMS = st.builds(
    WantedGrant, minutes=st.integers(1, 60), uses=st.integers(1, 20), whole_subject=st.booleans()
)


def vote(number: int, grant: WantedGrant | None, **changes: Any) -> Vote:
    """Return the approval of another person each time, a second later each time."""
    fields: dict[str, Any] = {
        "vote": VoteId(f"{number:032x}"),
        "request": RequestId(OPENED.hold),
        "by": f"p{number}",
        "via": "cli",
        "answer": Answer.APPROVE,
        "reason": "r",
        "digest": OPENED.digest,
        "time_ns": NOON_NS + number * SECOND,
        "grant": grant,
    }
    return Vote(**(fields | changes))


def decided(*votes: Vote, heard_ns: int = 0, **changes: Any) -> Record:
    """Return the record that these votes have decided."""
    decision = make_decision(
        votes=tuple(one.vote for one in votes),
        by=", ".join(one.by for one in votes),
        time_ns=votes[-1].time_ns,
    )
    return Record(
        OPENED, votes=votes, decision=replace(decision, **changes), heard_ns=heard_ns or NOON_NS
    )


@given(st.lists(TERMS, min_size=1, max_size=5))
def test_no_one_has_given_more_than_they_said(asked: list[WantedGrant]) -> None:
    """In nothing; and nothing is less than what the one who said the least of it has said."""
    found = narrowest([vote(number, one) for number, one in enumerate(asked)])
    assert found is not None
    assert found.minutes in {one.minutes for one in asked}
    assert found.uses in {one.uses for one in asked}
    for one in asked:
        assert found.minutes <= one.minutes and found.uses <= one.uses
        assert one.whole_subject or not found.whole_subject
    assert found.whole_subject == all(one.whole_subject for one in asked)


@given(st.lists(TERMS, max_size=4), st.integers(0, 4))
def test_one_who_approves_once_makes_it_once(asked: list[WantedGrant], at: int) -> None:
    """Wherever they come in the order; and so does nobody at all."""
    once: list[WantedGrant | None] = [*asked]
    once.insert(at, None)
    assert narrowest([vote(number, one) for number, one in enumerate(once)]) is None
    assert narrowest([]) is None


WIDE = WantedGrant(minutes=30, uses=9, whole_subject=True)
NARROW = WantedGrant(minutes=10, uses=12)


def test_a_grant_of_two_begins_with_the_decision_and_names_both() -> None:
    """By the host's boot clock, which was 1000 s at the act: the decision came two seconds on."""
    grant = grant_of(decided(vote(1, WIDE), vote(2, NARROW)))
    assert grant is not None
    assert (grant.uses, grant.session, grant.by) == (9, OPENED.act.session, "p1, p2")
    assert grant.expires_boot_ns == 1_002 * SECOND + 10 * MINUTE
    assert grant.expires_ns == NOON_NS + 2 * SECOND + 10 * MINUTE
    assert grant == grant_of(decided(vote(1, WIDE), vote(2, NARROW))), "whoever makes it"


@pytest.mark.parametrize(
    "record",
    [
        decided(vote(1, WIDE), vote(2, None)),
        decided(vote(1, WIDE, ground=Ground.BREAK_GLASS), ground=Ground.BREAK_GLASS),
        decided(vote(1, WIDE), answer=Answer.DENY),
        decided(vote(1, WIDE), votes=()),
        # The vote stood on another hold, and named this one besides.
        decided(vote(1, WIDE, request=RequestId("e" * 32))),
        Record(OPENED, votes=(vote(1, WIDE),)),
        replace(decided(vote(1, WIDE)), opened=replace(OPENED, not_grantable="it is a shell")),
    ],
)
def test_what_is_no_approval_of_all_for_a_time_makes_no_grant(record: Record) -> None:
    """Once, by breaking the glass, a denial, nobody, another hold, undecided, never granted."""
    assert grant_of(record) is None


def test_who_approved_once_counts_though_their_place_was_not_needed() -> None:
    """The decision is made of two of the three."""
    first, second, third = vote(1, None), vote(2, WIDE), vote(3, WIDE)
    record = replace(decided(second, third), votes=(first, second, third))
    assert grant_of(record) is None
    late = replace(first, time_ns=third.time_ns + 1)
    assert grant_of(replace(record, votes=(second, third, late))) is not None


def test_neither_a_clock_that_is_ahead_nor_an_outage_shortens_a_grant() -> None:
    """The host is an hour ahead and it waited for one; or the centre heard after an hour."""
    ahead = grant_of(decided(vote(1, NARROW), heard_ns=NOON_NS - 3600 * SECOND))
    assert ahead is not None
    assert ahead.expires_boot_ns == 1_001 * SECOND + 3600 * SECOND + 10 * MINUTE
    late = vote(1, NARROW, time_ns=NOON_NS + 3601 * SECOND)
    heard = grant_of(decided(late, heard_ns=NOON_NS + 3600 * SECOND))
    assert heard is not None
    assert heard.expires_boot_ns == 1_000 * SECOND + 3601 * SECOND + 10 * MINUTE


def test_a_time_is_not_offered_after_an_approval_for_once() -> None:
    """It would promise what nobody can give any more."""
    assert grantable_by(Record(OPENED)) is None
    assert grantable_by(Record(OPENED, votes=(vote(1, WIDE),))) is None
    why = grantable_by(Record(OPENED, votes=(vote(1, WIDE), vote(2, None))))
    assert why == "p2 has approved it for this once"

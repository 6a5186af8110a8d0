"""A decision for a time whose grant could not be made in its life: the request says so, once."""

from dataclasses import replace

import pytest

from collector.approvals.record import CENTRE_VIA, Record
from collector.card import render
from collector.channels.notices import version_of
from collector.nats.publish import Stored
from collector.orders.granting import CENTRE, NO_GRANT, Granting
from collector.orders.ledger import Ledger
from collector.orders.terms import grant_of
from tests.support.model_site import FaultyPublisher, Streams
from tests.unit.collector.samples import make_state
from tests.unit.collector.test_grant_terms import MINUTE, decided, vote
from wire import subjects
from wire.codec import decode, encode
from wire.ids import VoteId
from wire.messages import Comment, HoldStateName, WantedGrant
from wire.orders import Grant
from wire.signing import Signer, Verifier

KEY = Signer.from_seed("11" * 32, place="a")
TERMS = WantedGrant(minutes=15, uses=5)


@pytest.fixture
def streams() -> Streams:
    """What NATS keeps."""
    return Streams()


def granting(streams: Streams, now_ns: int) -> Granting:
    """Return what makes grants, of a collector that has just started."""
    return Granting(Ledger(), FaultyPublisher(streams), KEY, lambda: now_ns)


def remarks(streams: Streams) -> list[Comment]:
    """Return what was remarked, signed."""
    found = []
    for one in streams.messages[subjects.VOTES]:
        Verifier(frozenset({KEY.key_id})).check(one.data, dict(one.headers))
        message = decode(one.data)
        assert isinstance(message, Comment)
        found.append(message)
    return found


def wanted(record: Record) -> Grant:
    """Return the grant that a record comes to."""
    found = grant_of(record)
    assert found is not None
    return found


@pytest.mark.parametrize("end", [None, HoldStateName.CANCELLED, HoldStateName.EXPIRED])
async def test_a_hold_that_ended_meanwhile_has_its_grant(
    streams: Streams, end: HoldStateName | None
) -> None:
    """It is about later acts: for what is left of the time that was approved."""
    record = decided(vote(1, TERMS))
    if end is not None:
        record = replace(record, states=(make_state(end),))
    last_moment = wanted(record).expires_ns - 1
    made = await granting(streams, last_moment).grant(record)
    assert made == wanted(record)
    assert streams.orders() == [made] and remarks(streams) == []


async def test_one_whose_life_is_over_is_not_made_and_the_request_says_why(
    streams: Streams,
) -> None:
    """By the centre's own remark, which no restart doubles once it is heard."""
    record = decided(vote(1, TERMS))
    late = wanted(record).expires_ns
    assert await granting(streams, late).grant(record) is None
    assert streams.orders() == []
    (remark,) = remarks(streams)
    assert (remark.by, remark.via, remark.text) == (CENTRE, CENTRE_VIA, NO_GRANT)
    assert (remark.request, remark.time_ns) == (record.id, late)
    told = replace(record, comments=(remark,))
    await granting(streams, late + MINUTE).grant(told)
    assert len(remarks(streams)) == 1
    # Before it is heard, it is told again under the same id, of which the register keeps one.
    await granting(streams, late + MINUTE).grant(record)
    assert {one.comment for one in remarks(streams)} == {remark.comment}


async def test_a_trail_that_is_filled_anew_says_nothing_of_old_grants(streams: Streams) -> None:
    """The grant is in the stream, which this collector has not read yet; it is over long since."""
    record = decided(vote(1, TERMS))
    grant = wanted(record)
    streams.first[subjects.order(grant.host, grant.order)] = Stored(encode(grant), {})
    assert await granting(streams, grant.expires_ns + MINUTE).grant(record) is None
    assert remarks(streams) == []


def test_every_card_shows_it_and_changes_for_it() -> None:
    """Unlike what a person remarks."""
    record = decided(vote(1, TERMS))
    remark = Comment(
        comment=VoteId("1" * 32),
        request=record.id,
        by=CENTRE,
        via=CENTRE_VIA,
        text=NO_GRANT,
        time_ns=1,
    )
    of_a_person = replace(remark, comment=VoteId("2" * 32), by="ann", via="web", text="hm")
    said = replace(record, comments=(of_a_person,))
    told = replace(record, comments=(remark, of_a_person))
    assert version_of(said) == version_of(record) == version_of(told) - 1
    line = render(told.opened, told.states, told.decision, notes=told.notes).state_line
    assert line.endswith(f"; {NO_GRANT}") and "hm" not in line

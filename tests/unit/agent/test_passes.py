"""Grants that the kernel answers for: what it is given, what is taken back, and what it tells."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from rules.model import Action
from tests.support.children import Child
from tests.support.keeping import Bench, asking, every_letter
from tests.support.ordering import (
    file_act,
    give,
    grant,
    held,
    lift,
    quarantine,
    revocation,
)
from wire import codec
from wire.acts import Act, Guarantee
from wire.ids import request_of
from wire.messages import Answer, Ground, HoldOpened, HoldState, HoldStateName
from wire.orders import Grant

S = HoldStateName


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A keeper whose kernel holds calls before they are made."""
    made = Bench(tmp_path)
    made.held.permits.able = True
    made.keeper.start()
    yield made
    made.crash()


def act_of(one: Child, **changes: object) -> Act:
    """Return the opening of a file, before it has happened."""
    return replace(file_act(one), guarantee=Guarantee.HELD, **changes)  # type: ignore[arg-type]


def granted(bench: Bench, one: Child, **changes: object) -> Grant:
    """Return a grant that was made with the request about an act, and was taken."""
    one.stop()
    hold = held(bench, act_of(one))
    assert hold is not None
    made = grant(bench, act_of(one), request=request_of(hold), **changes)
    give(bench, made)
    bench.answer(hold, Answer.APPROVE)
    return made


async def test_the_kernel_has_a_grant_as_soon_as_it_comes(bench: Bench, one: Child) -> None:
    """With the uses and the end that were given, for the session or for all."""
    made = granted(bench, one, uses=3)
    assert bench.held.permits.left() == {made.order: 3}
    assert bench.held.permits.expires == {made.order: made.expires_boot_ns}
    assert not bench.held.permits.whole


async def test_a_grant_for_the_whole_subject_is_one_for_any_session(
    bench: Bench, one: Child
) -> None:
    """As the order says."""
    made = granted(bench, one, session="")
    assert bench.held.permits.whole == {made.order}


async def test_each_use_is_a_request_that_the_grant_has_answered(bench: Bench, one: Child) -> None:
    """The trail has it as one that was let pass by the agent, and the journal counts it."""
    made = granted(bench, one)
    bench.held.permits.use(made.order, act_of(one, boot_ns=5_000))
    bench.keeper.on_holds()
    opened, approved, released = said_last(bench)
    assert isinstance(opened, HoldOpened)
    assert (opened.grant, opened.act.boot_ns) == (made.order, 5_000)
    assert isinstance(approved, HoldState)
    assert isinstance(released, HoldState)
    assert (approved.state, released.state) == (S.APPROVED, S.RELEASED)
    assert (released.ground, released.by) == (Ground.GRANT, made.by)
    assert approved.order == made.order
    assert bench.journal.orders.uses_left(made.order) == 1
    assert bench.keeper.holds() == []


def said_last(bench: Bench) -> list[object]:
    """Return what the centre was told of the last hold, in order."""
    letters = every_letter(bench.journal)
    return [codec.decode(one.data) for one in letters if one.hold == letters[-1].hold]


async def test_a_use_that_comes_again_counts_once(bench: Bench, one: Child) -> None:
    """An agent that is killed between the disk and the ring meets it again."""
    made = granted(bench, one)
    permits = bench.held.permits
    permits.use(made.order, act_of(one, boot_ns=5_000))
    again = permits.unread[0]
    bench.keeper.on_holds()
    permits.unread.append(again)
    bench.restart()
    assert bench.journal.orders.uses_left(made.order) == 1
    assert bench.notes.notices == []


async def test_what_was_used_while_no_agent_was_there_is_counted(bench: Bench, one: Child) -> None:
    """Before anything else is settled; then both counts are the same."""
    made = granted(bench, one)
    bench.crash()
    bench.held.permits.use(made.order, act_of(one, boot_ns=5_000))
    bench.begin()
    bench.keeper.start()
    assert bench.journal.orders.uses_left(made.order) == 1
    assert bench.held.permits.left() == {made.order: 1}
    assert bench.notes.notices == []


async def test_of_two_counts_the_lower_counts(bench: Bench, one: Child) -> None:
    """And that they differ is told."""
    made = granted(bench, one, uses=5)
    bench.held.permits.given[made.order][1] = 3  # and no event of it
    bench.restart()
    assert bench.held.permits.left() == {made.order: 2}
    assert [name for name, _ in bench.notes.notices] == ["grant_counts_differ"]


async def test_a_revoked_grant_is_taken_back(bench: Bench, one: Child) -> None:
    """And a use of before, which is told later, is in the trail all the same."""
    made = granted(bench, one)
    bench.held.permits.use(made.order, act_of(one, boot_ns=5_000))
    unread, bench.held.permits.unread = bench.held.permits.unread, []
    give(bench, revocation(bench, made))
    assert bench.held.permits.left() == {}
    bench.held.permits.unread = unread
    bench.keeper.on_holds()
    opened, *_ = said_last(bench)
    assert isinstance(opened, HoldOpened)
    assert opened.grant == made.order


@pytest.mark.parametrize("action", [Action.DENY, Action.ALLOW, None])
async def test_a_rule_that_does_not_ask_any_more_takes_it_back(
    bench: Bench, one: Child, action: Action | None
) -> None:
    """A grant stands for an answer to a question, and for nothing else."""
    granted(bench, one)
    asks = bench.ruled
    bench.ruled = lambda act: asking(action=action)
    bench.keeper.on_rules()
    assert bench.held.permits.left() == {}
    bench.ruled = asks
    bench.keeper.on_rules()
    assert len(bench.held.permits.left()) == 1


async def test_a_quarantine_takes_it_back_and_its_end_gives_it_again(
    bench: Bench, one: Child
) -> None:
    """Meanwhile nothing of the subject passes."""
    granted(bench, one)
    given = quarantine(bench)
    give(bench, given)
    assert bench.held.permits.left() == {}
    give(bench, lift(bench, given))
    assert len(bench.held.permits.left()) == 1


async def test_what_the_agent_lets_go_by_it_is_taken_out_of_the_kernel(
    bench: Bench, one: Child
) -> None:
    """An act that was held although it is covered: the ring was full, or it differs in a detail."""
    made = granted(bench, one)
    one.stop()
    assert held(bench, act_of(one, boot_ns=6_000)) is None
    assert bench.held.permits.left() == {made.order: 1}
    assert bench.journal.orders.uses_left(made.order) == 1


async def test_the_kernel_s_last_use_is_not_the_agent_s_too(bench: Bench, one: Child) -> None:
    """It is held and asked about, whatever the journal says that is left."""
    made = granted(bench, one, uses=1)
    bench.held.permits.given[made.order][1] = 1  # and the event is still to come
    one.stop()
    assert held(bench, act_of(one, boot_ns=6_000)) is not None


async def test_a_kernel_that_learns_a_call_by_an_act_has_the_grant_from_then_on(
    bench: Bench, one: Child
) -> None:
    """After a restart the request that it was made with is known no more."""
    bench.held.permits.able = False
    made = granted(bench, one)
    assert bench.held.permits.left() == {}
    bench.held.permits.able = True
    bench.restart()
    one.stop()
    assert held(bench, act_of(one, boot_ns=6_000)) is None
    assert bench.held.permits.left() == {made.order: 1}

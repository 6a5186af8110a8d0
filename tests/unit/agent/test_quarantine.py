"""Quarantines on the host: everybody of a subject stops, and what waits is denied, until lifted."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.release import ProcessId
from tests.support.children import Child
from tests.support.keeping import Bench, asking
from tests.support.ordering import file_act, give, held, lift, quarantine
from wire.ids import HostId
from wire.messages import Answer, Ground, HoldState, HoldStateName
from wire.signing import Signer

S = HoldStateName


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A keeper that has started with nothing held."""
    made = Bench(tmp_path)
    made.keeper.start()
    yield made
    made.crash()


def label(bench: Bench, *processes: Child, subject: str = "ai-worker") -> None:
    """Have the kernel say that these belong to a subject."""
    known = bench.held.labels.setdefault(subject, [])
    known += [ProcessId(one.pid, one.start_ns) for one in processes]


async def test_everybody_of_the_subject_stops_and_nobody_else(
    bench: Bench, one: Child, other: Child
) -> None:
    """Who belongs to it, the labels say."""
    label(bench, one)
    label(bench, other, subject="another")
    given = quarantine(bench)
    give(bench, given)
    one.wait_stopped()
    assert other.runs()
    give(bench, lift(bench, given))
    assert one.runs()


async def test_what_waits_is_superseded_and_killed(bench: Bench, one: Child) -> None:
    """The trail names the order and who gave it; the ground is that person's decision."""
    one.stop()
    label(bench, one)
    hold = held(bench, file_act(one))
    assert hold is not None
    given = quarantine(bench)
    give(bench, given)
    assert one.ended_by() == signal.SIGKILL
    await bench.settled()
    assert bench.states(hold) == [S.SUPERSEDED, S.KILLED]
    state = bench.said(hold)[1]
    assert isinstance(state, HoldState)
    assert (state.order, state.by, state.ground) == (given.order, "ann", Ground.DECISION)


async def test_what_would_be_asked_about_is_denied_at_once(bench: Bench, one: Child) -> None:
    """Nobody is asked, and the event says why."""
    give(bench, quarantine(bench))
    one.stop()
    assert held(bench, file_act(one)) is None
    assert one.ended_by() == signal.SIGKILL
    await bench.settled()
    action, hold, detail = bench.notes.acts[-1]
    assert (action, hold) == ("deny", None)
    assert "under quarantine by ann" in detail


async def test_what_no_rule_asks_about_stays_stopped_until_it_is_lifted(
    bench: Bench, one: Child
) -> None:
    """A rule that lets it pass does not let it out."""
    given = quarantine(bench)
    give(bench, given)
    one.stop()
    bench.ruled = lambda _: asking(action=None)
    held(bench, file_act(one))
    assert one.stopped()
    give(bench, lift(bench, given))
    assert one.runs()


async def test_an_approval_that_comes_meanwhile_lets_nobody_out(bench: Bench, one: Child) -> None:
    """What it was about is over."""
    one.stop()
    label(bench, one)
    hold = held(bench, file_act(one))
    assert hold is not None
    verdict = bench.verdict(hold, Answer.APPROVE)
    give(bench, quarantine(bench))
    bench.deliver(verdict)
    assert one.ended_by() == signal.SIGKILL


async def test_it_outlives_the_agent_and_so_does_its_end(bench: Bench, one: Child) -> None:
    """A new agent goes on where the old one was killed, whichever way that was."""
    label(bench, one)
    given = quarantine(bench)
    give(bench, given)
    one.wait_stopped()
    bench.restart()
    bench.keeper.warden.start()
    assert one.stopped()
    bench.journal.orders.take(lift(bench, given), 1)  # and no more, as one that is killed then
    bench.restart()
    bench.keeper.warden.start()
    assert one.runs()


async def test_who_was_stopped_by_others_stays_so(bench: Bench, one: Child) -> None:
    """A quarantine that is lifted leaves everybody as they were."""
    one.stop()
    label(bench, one)
    given = quarantine(bench)
    give(bench, given)
    give(bench, lift(bench, given))
    assert one.stopped()


async def test_who_comes_later_is_stopped_too(bench: Bench, one: Child) -> None:
    """Without an act that would tell of it."""
    give(bench, quarantine(bench))
    label(bench, one)
    await asyncio.to_thread(one.wait_stopped)


async def test_who_takes_the_kernel_side_out_ends_them_too(bench: Bench, one: Child) -> None:
    """Nobody would be left to let them go."""
    label(bench, one)
    give(bench, quarantine(bench))
    one.wait_stopped()
    await bench.keeper.end_all("unloaded", "root")
    assert one.ended_by() == signal.SIGKILL


async def test_of_two_quarantines_the_last_lets_go(bench: Bench, one: Child) -> None:
    """Each is lifted for itself."""
    label(bench, one)
    both = quarantine(bench), quarantine(bench)
    for given in both:
        give(bench, given)
    one.wait_stopped()
    give(bench, lift(bench, both[0]))
    assert one.stopped()
    give(bench, lift(bench, both[1]))
    assert one.runs()


async def test_one_that_was_lifted_does_not_come_again(bench: Bench, one: Child) -> None:
    """Neither the same message, nor one that is older than its end, nor after a restart."""
    label(bench, one)
    given, late = quarantine(bench), quarantine(bench)
    give(bench, given)
    one.wait_stopped()
    give(bench, lift(bench, given))
    give(bench, lift(bench, late))
    bench.restart()
    give(bench, given)
    give(bench, late)
    assert one.runs()
    assert [name for name, _ in bench.notes.notices].count("order_refused") == 1


async def test_a_forged_one_or_one_for_another_host_stops_nobody(bench: Bench, one: Child) -> None:
    """Signed by another key, or sent on from elsewhere."""
    label(bench, one)
    give(bench, quarantine(bench), Signer.generate())
    give(bench, quarantine(bench, host=HostId("b" * 32)))
    assert one.runs()
    assert [name for name, _ in bench.notes.notices] == ["order_refused", "order_refused"]

"""A denial that refuses: the call is to fail, and the process goes on."""

import signal
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.holds.machine import Machine
from agent.holds.model import Doom, Pass, Step, Why
from agent.journal import Journal
from agent.release import KillOrder, Release
from agent.rulings import Ruled
from tests.support.children import Child, open_act
from tests.support.holds import HOST, ONE, hold_of, verdict_on
from tests.support.keeping import Bench, asking
from wire.acts import Guarantee, Kind
from wire.messages import Answer, Ground, HoldState, HoldStateName, KillScope, OnDeny

WHY = Why(ground=Ground.DECISION, by="ann", reason="no")
REFUSED = Doom(WHY, KillScope.PROCESS, refuse=True)
KILLED = Doom(WHY, KillScope.PROCESS)


def machine_with(*fates: Doom | Pass | None) -> Machine:
    """Return a machine whose one process has a hold of each fate."""
    machine = Machine(HOST)
    holds = tuple(hold_of(number=n, fate=fate) for n, fate in enumerate(fates, 1))
    machine.accept(Step(holds=holds))
    return machine


def test_a_refusal_lets_the_process_run_on_and_names_the_call_that_fails() -> None:
    """Beside an approval of another call of it."""
    machine = machine_with(REFUSED, Pass(WHY))
    order = machine.order(ONE)
    assert isinstance(order, Release)
    refused, passed = machine.of(ONE)
    assert order.refused == {refused.id}
    states = {say.hold: say.state for say in machine.plan_resumed(order, 1).says}  # type: ignore[union-attr]
    assert states == {
        refused.id: HoldStateName.REFUSED,
        passed.id: HoldStateName.RELEASED,
    }


@pytest.mark.parametrize(
    ("fates", "order"), [((REFUSED, KILLED), KillOrder), ((REFUSED, None), type(None))]
)
def test_a_refusal_waits_for_the_others_and_a_kill_is_a_kill(
    fates: tuple[Doom | None, ...], order: type
) -> None:
    """What one hold comes to is done once all of them are decided."""
    assert isinstance(machine_with(*fates).order(ONE), order)


@pytest.mark.parametrize("answer", [Answer.DENY, None])
def test_a_hold_that_refuses_does_so_after_a_denial_and_after_silence(
    answer: Answer | None,
) -> None:
    """And tells which of the two it was."""
    machine = Machine(HOST)
    hold = hold_of(refuse=True, deadline_boot_ns=5)
    machine.accept(Step(holds=(hold,)))
    step = machine.plan_answer(verdict_on(hold, answer), 1) if answer else machine.plan_expire(5, 1)
    (after,) = step.holds
    assert isinstance(after.fate, Doom)
    assert after.fate.refuse
    assert after.state is (HoldStateName.DENIED if answer else HoldStateName.EXPIRED)


@pytest.mark.parametrize("fate", [None, REFUSED, KILLED, Pass(WHY)])
@pytest.mark.parametrize("refuse", [True, False])
def test_the_journal_keeps_it(tmp_path: Path, fate: Doom | Pass | None, refuse: bool) -> None:
    """Also across a restart of the agent."""
    hold = hold_of(fate=fate, refuse=refuse, kill=KillScope.TREE)
    with closing(Journal(tmp_path / "journal.db", HOST)) as journal:
        journal.record(Step(holds=(hold,)), 1)
        assert journal.get(hold.id) == hold


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A keeper on a host that can refuse, with a rule that does."""
    made = Bench(tmp_path, refuses=True)
    made.keeper.start()
    yield made
    made.crash()


def refusing() -> Ruled:
    """Return an ask whose denial refuses."""
    ruled = asking()
    assert ruled.rule is not None
    return replace(ruled, rule=replace(ruled.rule, on_deny=OnDeny.REFUSE))


async def test_a_refused_call_is_told_to_the_kernel_and_nobody_is_killed(
    bench: Bench, one: Child
) -> None:
    """The process runs on, and the last word of the host is that the call was refused."""
    bench.ruled = lambda _: refusing()
    one.stop()
    held = replace(open_act(one), guarantee=Guarantee.HELD)
    hold = bench.hold(held)
    bench.answer(hold, Answer.DENY)
    assert list(bench.held.admitted.values()) == [False]
    assert not one.stopped()
    last = bench.said(hold)[-1]
    assert isinstance(last, HoldState)
    assert last.state is HoldStateName.REFUSED


@pytest.mark.parametrize(
    "changes",
    [{"guarantee": Guarantee.STOPPED}, {"kind": Kind.EXEC, "guarantee": Guarantee.HELD}],
    ids=["a call that was made", "a program that is started"],
)
async def test_what_cannot_fail_any_more_is_killed(
    bench: Bench, one: Child, changes: dict[str, object]
) -> None:
    """A rule that would rather refuse says so of what can be refused."""
    bench.ruled = lambda _: refusing()
    one.stop()
    hold = bench.hold(replace(open_act(one), **changes))  # type: ignore[arg-type]
    bench.answer(hold, Answer.DENY)
    assert bench.held.admitted == {}
    assert one.ended_by() == signal.SIGKILL

"""The hold machine by itself: whatever comes in, in whatever order."""

import ast
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.errors import AgentError
from agent.holds.machine import Machine
from agent.holds.model import Doom, Hold, Pass, Step, Voice, Why
from agent.release import KillOrder, ProcessId, Release
from tests.support.holds import HOST, hold_of, verdict_on
from wire.ids import HoldId
from wire.messages import (
    Answer,
    Ground,
    HoldState,
    HoldStateName,
    KillScope,
    OnTimeout,
)

S = HoldStateName
ENDS_THE_WAIT = {S.APPROVED, S.DENIED, S.EXPIRED, S.CANCELLED, S.SUPERSEDED}
CHECKOUT = Path(__file__).resolve().parents[3]


class Holds(RuleBasedStateMachine):
    """Every input in every order, over a few processes with several holds each."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine(HOST)
        self.time = 0
        self.number = 0
        self.said: dict[HoldId, list[HoldState]] = {}
        self.all: dict[HoldId, Hold] = {}
        self.denied: set[ProcessId] = set()

    def do(self, step: Step) -> None:
        """Accept a step as the keeper does, and keep what was said."""
        for say in step.says:
            assert isinstance(say, HoldState)
            self.said.setdefault(say.hold, []).append(say)
        for hold in step.holds:
            self.all[hold.id] = hold
            if isinstance(hold.fate, Doom) and not hold.finished:
                self.denied.add(hold.process)
        self.machine.accept(step)

    def some(self, data: st.DataObject) -> Hold:
        """Return one of the holds that are not over."""
        return data.draw(st.sampled_from(list(self.machine)))

    @rule(
        pid=st.integers(2, 4),
        on_timeout=st.sampled_from(OnTimeout),
        deadline=st.integers(0, 20),
        kill=st.sampled_from(KillScope),
        passes=st.booleans(),
    )
    def opened(
        self, pid: int, on_timeout: OnTimeout, deadline: int, kill: KillScope, passes: bool
    ) -> None:
        """The kernel holds another act."""
        self.number += 1
        hold = hold_of(
            ProcessId(pid, 1),
            self.number,
            on_timeout=on_timeout,
            deadline_boot_ns=self.time + deadline if deadline else 0,
            kill=kill,
        )
        if passes:
            why = Why(ground=Ground.RULE)
            hold = hold_of(hold.process, self.number, voice=Voice.QUIET, fate=Pass(why))
        self.do(self.machine.plan_open(hold, None, self.time))

    @precondition(lambda self: any(hold.waiting for hold in self.machine))
    @rule(data=st.data(), answer=st.sampled_from(Answer))
    def answered(self, data: st.DataObject, answer: Answer) -> None:
        """A checked verdict comes in."""
        hold = data.draw(st.sampled_from([h for h in self.machine if h.waiting]))
        if hold.voice is Voice.QUIET:
            return
        self.do(self.machine.plan_answer(verdict_on(hold, answer), self.time))

    @rule(step=st.integers(1, 10))
    def time_passes(self, step: int) -> None:
        """Deadlines come."""
        self.time += step
        self.do(self.machine.plan_expire(self.time, self.time))
        assert (self.machine.next_deadline() or self.time + 1) > self.time

    @precondition(lambda self: len(self.machine) > 0)
    @rule(data=st.data())
    def carried_out(self, data: st.DataObject) -> None:
        """The keeper settles one process."""
        process = self.some(data).process
        order = self.machine.order(process)
        if isinstance(order, Release):
            mine = self.machine.of(process)
            assert set(order.grounds) == {hold.id for hold in mine}
            for hold in mine:
                assert isinstance(hold.fate, Pass)
                assert order.grounds[hold.id] is hold.fate.why.ground
                assert hold.state in {S.APPROVED, S.EXPIRED, S.HELD}
                assert hold.state is not S.HELD or hold.voice is Voice.QUIET
                assert hold.state is not S.EXPIRED or (
                    hold.on_timeout is OnTimeout.RELEASE or hold.fate.why.ground is Ground.EMERGENCY
                )
            assert process not in self.denied
            self.do(self.machine.plan_resumed(order, self.time))
            assert not self.machine.of(process)
        elif isinstance(order, KillOrder):
            self.ended(process)

    @precondition(lambda self: len(self.machine) > 0)
    @rule(data=st.data())
    def dies(self, data: st.DataObject) -> None:
        """A process ends by itself."""
        self.ended(self.some(data).process)

    @rule()
    def emergency(self) -> None:
        """Root lets everything go."""
        why = Why(ground=Ground.EMERGENCY, by="root", reason="fire")
        self.do(self.machine.plan_release_all(why, self.time))

    @rule()
    def unloaded(self) -> None:
        """Root kills everything."""
        why = Why(ground=Ground.EMERGENCY, by="root", reason="unload")
        self.do(self.machine.plan_kill_all(why, self.time))

    def ended(self, process: ProcessId) -> None:
        """The process is gone, whoever did it."""
        self.do(self.machine.plan_gone(process, self.time))
        assert not self.machine.of(process)
        self.denied.discard(process)

    @invariant()
    def any_denial_kills(self) -> None:
        """A process with a denied hold is to be killed, and nothing else."""
        for process in self.denied:
            assert isinstance(self.machine.order(process), KillOrder)

    @invariant()
    def one_that_waits_keeps_its_process_stopped(self) -> None:
        """No release while a hold of the process is unanswered."""
        for hold in self.machine:
            if hold.fate is None:
                assert not isinstance(self.machine.order(hold.process), Release)

    @invariant()
    def what_is_said_makes_sense(self) -> None:
        """Numbers without gaps; one end to the wait; a release names its ground."""
        for hold_id, says in self.said.items():
            assert [say.sequence for say in says] == list(range(1, len(says) + 1))
            ends = {say.state for say in says} & ENDS_THE_WAIT
            assert len(ends) <= 1
            states = [say.state for say in says]
            for final in (S.RELEASED, S.KILLED):
                assert states.count(final) <= 1
                assert final not in states[:-1]
            assert not {S.RELEASED, S.KILLED} <= set(states)
            for say in says:
                assert say.state is not S.RELEASED or say.ground is not None
            assert self.all[hold_id].sequence == len(says)


TestHolds = Holds.TestCase


def test_a_hold_that_no_longer_waits_takes_no_answer() -> None:
    """The machine itself refuses, whoever calls it."""
    machine = Machine(HOST)
    hold = hold_of(ProcessId(2, 1), 1)
    machine.accept(machine.plan_open(hold, None, 0))
    machine.accept(machine.plan_answer(verdict_on(hold, Answer.DENY), 0))
    with pytest.raises(AgentError, match="waits for no answer"):
        machine.plan_answer(verdict_on(hold, Answer.APPROVE), 0)


def test_planning_changes_nothing() -> None:
    """Only an accepted step does, so a full disk leaves everything as it was."""
    machine = Machine(HOST)
    hold = hold_of(ProcessId(2, 1), 1)
    machine.plan_open(hold, None, 0)
    assert len(machine) == 0
    machine.accept(machine.plan_open(hold, None, 0))
    machine.plan_answer(verdict_on(hold, Answer.APPROVE), 0)
    machine.plan_gone(hold.process, 0)
    assert list(machine) == [hold]


def _calls(name: str) -> set[str]:
    """Return the modules of the agent that name an attribute or a name."""
    found = set()
    for path in (CHECKOUT / "agent").rglob("*.py"):
        if "kernel" in path.relative_to(CHECKOUT).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (isinstance(node, ast.Attribute) and node.attr == name) or (
                isinstance(node, ast.Name) and node.id == name
            ):
                found.add(str(path.relative_to(CHECKOUT)))
    return found


def test_there_is_one_way_out() -> None:
    """One module sends SIGCONT, one place calls it, and one place makes what it demands."""
    assert _calls("SIGCONT") == {"agent/processes.py"}
    assert _calls("pidfd_send_signal") == {"agent/processes.py"}
    assert not _calls("killpg") | _calls("send_signal")
    assert len(_calls("resume")) == 1
    made = {
        str(path.relative_to(CHECKOUT))
        for path in (CHECKOUT / "agent").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Release"
    }
    assert made == {"agent/holds/machine.py"}

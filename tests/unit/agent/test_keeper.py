"""Holds of real processes: what runs on, what dies, and what is said of it."""

import asyncio
import os
import select
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from agent.processes import Resumed
from agent.release import ProcessId, Release
from agent.rulings import Ruled
from agent.sensor.interface import Resume
from agent.sensor.records import NO_PROCESS
from rules.model import Action
from tests.support.children import Child, child, family, open_act
from tests.support.keeping import MINUTE_NS, Bench, asking
from wire.acts import Act, Process
from wire.ids import HoldId
from wire.messages import Answer, Ground, HoldOpened, HoldState, HoldStateName, KillScope, OnTimeout
from wire.signing import Signer

S = HoldStateName
# They begin later than any process, so that nothing above a child counts as part of them.
SESSION, OTHER_SESSION = (f"{pid}-{1 << 62}" for pid in (7, 8))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A keeper that has started with nothing held."""
    made = Bench(tmp_path)
    made.keeper.start()
    yield made
    made.crash()


async def test_a_held_act_is_asked_about_and_the_process_stays_stopped(
    bench: Bench, one: Child
) -> None:
    """The request names the owner, the act and a deadline on both clocks; nothing runs."""
    one.stop()
    act = open_act(one)
    hold = bench.hold(act)
    (opened,) = bench.said(hold)
    assert isinstance(opened, HoldOpened)
    assert opened.act == act
    assert opened.owner == "ann@example.com"
    assert opened.deadline_boot_ns - bench.clock.boot == 10 * MINUTE_NS
    assert opened.deadline_ns - opened.opened_ns == 10 * MINUTE_NS
    assert one.stopped()
    assert bench.notes.acts == [("ask", hold, "")]


async def test_an_approval_lets_the_process_run_on_and_says_so_after_it_does(
    bench: Bench, one: Child
) -> None:
    """Approved, then released; the kernel forgets the entry; the reviewer is named in both."""
    one.stop()
    hold = bench.hold(open_act(one))
    verdict = bench.answer(hold, Answer.APPROVE)
    assert one.runs()
    assert bench.states(hold) == [S.APPROVED, S.RELEASED]
    last = bench.said(hold)[-1]
    assert isinstance(last, HoldState)
    assert (last.ground, last.verdict, last.by, last.reason) == (
        Ground.DECISION,
        verdict.verdict,
        "ann",
        "known work",
    )
    assert not bench.held.entries


async def test_a_denial_kills_and_is_confirmed_once_the_process_is_gone(
    bench: Bench, one: Child
) -> None:
    """Denied at once; killed only when the exit was seen."""
    one.stop()
    hold = bench.hold(open_act(one))
    bench.answer(hold, Answer.DENY)
    assert bench.states(hold) == [S.DENIED]
    await bench.settled()
    assert one.ended_by() == signal.SIGKILL
    assert bench.states(hold) == [S.DENIED, S.KILLED]
    assert not bench.held.entries


async def test_approving_one_of_two_holds_resumes_nothing(bench: Bench, one: Child) -> None:
    """SIGCONT is per process, so it waits for the last of its holds."""
    one.stop()
    first = bench.hold(open_act(one, "/etc/shadow"))
    second = bench.hold(open_act(one, "/etc/gshadow"))
    bench.answer(first, Answer.APPROVE)
    assert one.stopped()
    assert bench.states(first) == [S.APPROVED]
    bench.answer(second, Answer.APPROVE)
    assert one.runs()
    assert bench.states(first) == bench.states(second) == [S.APPROVED, S.RELEASED]


async def test_an_act_that_cannot_be_read_stays_held_and_is_noticed(
    bench: Bench, one: Child, other: Child
) -> None:
    """It is never judged, and keeps its process stopped whatever else is approved there."""
    for process in (one, other):
        process.stop()
    unread = replace(bench.held.put(open_act(one)), unread="a record has kind 77")
    bench.held.entries[unread.key] = unread
    bench.keeper.on_holds()
    hold = bench.hold(open_act(one, "/etc/shadow"))
    for answered in (hold, bench.hold(open_act(other))):
        bench.answer(answered, Answer.APPROVE)
    assert other.runs()
    assert one.stopped()
    assert bench.states(hold) == [S.APPROVED]
    assert [(name, "kind 77" in words) for name, words in bench.notes.notices] == [
        ("hold_not_taken_up", True)
    ]
    assert bench.restart() == 1
    assert one.stopped()
    assert unread.key in bench.held.entries
    assert bench.keeper.stuck() == [unread]


async def test_root_can_end_what_cannot_be_read(bench: Bench, one: Child) -> None:
    """Only the emergency exit, which says why and who; also where the process is not known."""
    one.stop()
    nobody = replace(open_act(one), process=Process(pid=NO_PROCESS, start_ns=1, comm="", uid=0))
    for act in (open_act(one), nobody):
        entry = bench.sensor.hold(act)
        bench.held.entries[entry.key] = replace(entry, unread="a record has kind 77")
    bench.keeper.on_holds()
    assert len(bench.keeper.stuck()) == 2
    assert bench.keeper.release_all("the kernel side is broken", "root") == 2
    await bench.settled()
    assert one.runs()
    assert not bench.held.entries


async def test_denying_one_of_two_holds_kills_and_settles_the_other(
    bench: Bench, one: Child
) -> None:
    """The approved one is killed with it, the open one is cancelled, and both say for which."""
    one.stop()
    approved, denied, waiting = (bench.hold(open_act(one, f"/etc/{n}")) for n in "abc")
    bench.answer(approved, Answer.APPROVE)
    bench.answer(denied, Answer.DENY)
    await bench.settled()
    assert one.ended_by() == signal.SIGKILL
    assert bench.states(approved) == [S.APPROVED, S.KILLED]
    assert bench.states(denied) == [S.DENIED, S.KILLED]
    assert bench.states(waiting) == [S.CANCELLED]
    for hold in (approved, waiting):
        last = bench.said(hold)[-1]
        assert isinstance(last, HoldState)
        assert denied in last.detail


async def test_a_process_that_dies_while_it_is_held_is_cancelled(bench: Bench, one: Child) -> None:
    """Its request closes by itself."""
    one.stop()
    hold = bench.hold(open_act(one))
    os.kill(one.pid, signal.SIGKILL)
    await bench.settled()
    assert bench.states(hold) == [S.CANCELLED]
    assert not bench.held.entries


@pytest.mark.parametrize("action", [Action.ALLOW, Action.OBSERVE, None])
async def test_what_no_rule_asks_about_runs_on_with_the_rules_as_ground(
    bench: Bench, one: Child, action: Action | None
) -> None:
    """The kernel holds a superset; the event says on what ground the act passed."""
    bench.ruled = lambda act: asking(action=action)
    one.stop()
    bench.sensor.hold(open_act(one))
    bench.keeper.on_holds()
    assert one.runs()
    assert bench.notes.acts == [(action.value if action else None, None, "let go: ground rule")]
    assert bench.journal.unpublished() == 0
    assert not bench.held.entries


async def test_a_rule_that_denies_kills_without_asking(bench: Bench, one: Child) -> None:
    """Nobody is asked; the states and the event name the hold and the ground `rule`."""
    bench.ruled = lambda act: asking(action=Action.DENY)
    one.stop()
    hold = bench.hold(open_act(one))
    await bench.settled()
    assert one.ended_by() == signal.SIGKILL
    assert [type(say) for say in bench.said(hold)] == [HoldState, HoldState]
    assert bench.states(hold) == [S.DENIED, S.KILLED]
    assert {say.ground for say in bench.said(hold) if isinstance(say, HoldState)} == {Ground.RULE}
    assert bench.notes.acts == [("deny", hold, "killed: ground rule")]


async def test_an_act_that_passes_waits_for_the_one_that_is_asked_about(
    bench: Bench, one: Child
) -> None:
    """A rule that allows one act is no way past the question about another."""
    one.stop()
    hold = bench.hold(open_act(one))
    bench.ruled = lambda act: asking(action=Action.ALLOW)
    bench.sensor.hold(open_act(one, "/srv/harmless"))
    bench.keeper.on_holds()
    assert one.stopped()
    bench.answer(hold, Answer.APPROVE)
    assert one.runs()
    assert not bench.keeper.holds()


async def test_silence_kills_at_the_deadline(bench: Bench, one: Child) -> None:
    """Expired, then killed, both on the ground of the timeout policy, and never a refusal."""
    one.stop()
    hold = bench.hold(open_act(one))
    bench.pass_time(10 * MINUTE_NS - 1)
    assert bench.states(hold) == []
    bench.pass_time(1)
    await bench.settled()
    assert one.ended_by() == signal.SIGKILL
    assert bench.states(hold) == [S.EXPIRED, S.KILLED]
    grounds = {say.ground for say in bench.said(hold) if isinstance(say, HoldState)}
    assert grounds == {Ground.TIMEOUT_POLICY}


async def test_silence_releases_where_the_rule_says_release(bench: Bench, one: Child) -> None:
    """Expired, then released, on the ground of the timeout policy."""
    bench.ruled = lambda act: asking(on_timeout=OnTimeout.RELEASE)
    one.stop()
    hold = bench.hold(open_act(one))
    bench.pass_time(10 * MINUTE_NS)
    assert one.runs()
    assert bench.states(hold) == [S.EXPIRED, S.RELEASED]
    last = bench.said(hold)[-1]
    assert isinstance(last, HoldState)
    assert last.ground is Ground.TIMEOUT_POLICY


async def test_silence_keeps_where_the_rule_says_keep(bench: Bench, one: Child) -> None:
    """It never expires: still stopped after the time, and then an answer frees it."""
    bench.ruled = lambda act: asking(on_timeout=OnTimeout.KEEP)
    one.stop()
    hold = bench.hold(open_act(one))
    bench.pass_time(10 * MINUTE_NS)
    assert one.stopped()
    assert bench.states(hold) == []
    bench.answer(hold, Answer.APPROVE)
    assert one.runs()
    assert bench.states(hold) == [S.APPROVED, S.RELEASED]


async def test_an_answer_after_the_deadline_is_recorded_as_too_late(
    bench: Bench, one: Child
) -> None:
    """It changes no state, is the ground of nothing, names who said what, and is said once."""
    one.stop()
    hold = bench.hold(open_act(one))
    verdict = bench.verdict(hold, Answer.APPROVE)
    # The clock has passed the deadline and the alarm has not rung yet: the clock decides.
    bench.clock.boot += 10 * MINUTE_NS
    bench.deliver(verdict)
    await bench.settled()
    assert one.ended_by() == signal.SIGKILL
    late = bench.said(hold)[2]
    assert isinstance(late, HoldState)
    assert (late.state, late.ground, late.verdict) == (S.EXPIRED, None, verdict.verdict)
    assert late.detail.startswith("too late: ann said approve by cli")
    before = len(bench.said(hold))
    bench.deliver(verdict)
    assert len(bench.said(hold)) == before


@pytest.mark.parametrize(("action", "last"), [(Action.DENY, S.KILLED), (Action.ALLOW, S.RELEASED)])
async def test_a_newer_rule_settles_what_waits(
    bench: Bench, one: Child, action: Action, last: HoldStateName
) -> None:
    """Superseded, on the ground of that rule; an answer that was on its way is too late."""
    one.stop()
    hold = bench.hold(open_act(one))
    verdict = bench.verdict(hold, Answer.DENY if action is Action.ALLOW else Answer.APPROVE)
    bench.ruled = lambda act: asking(action=action)
    assert bench.keeper.on_rules() == 1
    await bench.settled()
    assert bench.states(hold) == [S.SUPERSEDED, last]
    settled = bench.said(hold)[1]
    assert isinstance(settled, HoldState)
    assert (settled.ground, settled.reason) == (Ground.RULE, "test.rule")
    assert settled.detail == f"a newer rule settles it: test.rule says {action}"
    if action is Action.ALLOW:
        assert one.runs()
    else:
        assert one.ended_by() == signal.SIGKILL
    bench.deliver(verdict)
    assert one.runs() == (action is Action.ALLOW)
    assert bench.keeper.on_rules() == 0


@pytest.mark.parametrize("ruled", [asking(), asking(action=Action.OBSERVE), asking(action=None)])
async def test_what_newer_rules_ask_about_or_do_not_name_waits_on(
    bench: Bench, one: Child, ruled: Ruled
) -> None:
    """Rules that went missing by mistake let nothing go."""
    one.stop()
    hold = bench.hold(open_act(one))
    bench.ruled = lambda act: ruled
    assert bench.keeper.on_rules() == 0
    assert one.stopped()
    bench.answer(hold, Answer.APPROVE)
    assert one.runs()
    assert bench.states(hold) == [S.APPROVED, S.RELEASED]


async def test_a_broken_glass_whose_life_is_over_releases_nothing(bench: Bench, one: Child) -> None:
    """Also where the hold has no deadline: it waits on, and the trail has who came too late."""
    bench.ruled = lambda act: asking(on_timeout=OnTimeout.KEEP)
    one.stop()
    hold = bench.hold(open_act(one))
    glass = replace(
        bench.verdict(hold, Answer.APPROVE),
        ground=Ground.BREAK_GLASS,
        expires_boot_ns=bench.clock.boot + 5 * MINUTE_NS,
    )
    bench.pass_time(5 * MINUTE_NS)
    bench.deliver(glass)
    assert one.stopped()
    (late,) = bench.said(hold)[1:]
    assert isinstance(late, HoldState)
    assert (late.state, late.ground, late.verdict) == (S.HELD, None, glass.verdict)
    assert late.detail == (
        "too late: ann said approve by cli, which could be obeyed for a while that is over"
    )
    bench.deliver(glass)
    assert len(bench.said(hold)) == 2
    bench.answer(hold, Answer.APPROVE)
    assert one.runs()


async def test_the_same_verdict_delivered_again_does_nothing(bench: Bench, one: Child) -> None:
    """A lost acknowledgement is no second release, and no complaint either."""
    one.stop()
    hold = bench.hold(open_act(one))
    verdict = bench.answer(hold, Answer.APPROVE)
    one.stop()  # by somebody else, later
    bench.deliver(verdict)
    assert one.stopped()
    assert bench.states(hold) == [S.APPROVED, S.RELEASED]
    assert bench.notes.notices == []


async def test_a_verdict_by_a_key_that_is_not_trusted_is_refused_and_recorded(
    bench: Bench, one: Child
) -> None:
    """Nothing happens but a notice."""
    one.stop()
    hold = bench.hold(open_act(one))
    bench.deliver(bench.verdict(hold, Answer.APPROVE), Signer.generate())
    assert one.stopped()
    assert bench.states(hold) == []
    ((name, words),) = bench.notes.notices
    assert name == "verdict_refused"
    assert "not trusted" in words


async def test_a_tree_is_killed_with_its_children(bench: Bench) -> None:
    """Where the rule says tree, what the process has started dies with it."""
    bench.ruled = lambda act: asking(kill=KillScope.TREE)
    with family() as (parent, pid):
        descriptor = os.pidfd_open(pid)
        parent.stop()
        hold = bench.hold(open_act(parent))
        bench.answer(hold, Answer.DENY)
        await bench.settled()
        assert parent.ended_by() == signal.SIGKILL
        assert bench.states(hold) == [S.DENIED, S.KILLED]
        gone = select.poll()
        gone.register(descriptor, select.POLLIN)
        assert gone.poll(10_000), "the child of the killed process lives on"
        os.close(descriptor)


async def test_a_tree_takes_the_held_processes_of_its_session_along(
    bench: Bench, one: Child, other: Child
) -> None:
    """A process that was started by double fork is no child, and is killed all the same."""
    bench.ruled = lambda act: asking(kill=KillScope.TREE)
    for process in (one, other):
        process.stop()
    first = bench.hold(open_act(one, session=SESSION))
    second = bench.hold(open_act(other, session=SESSION))
    bench.answer(first, Answer.DENY)
    await bench.settled()
    assert other.ended_by() == signal.SIGKILL
    assert bench.states(second) == [S.CANCELLED]
    last = bench.said(second)[-1]
    assert isinstance(last, HoldState)
    assert first in last.detail


async def test_an_emergency_lets_everything_go_that_nobody_has_denied(
    bench: Bench, one: Child, other: Child
) -> None:
    """Each release is recorded with the ground, the reason and who did it."""
    holds = []
    for process in (one, other):
        process.stop()
        holds.append(bench.hold(open_act(process)))
    assert bench.keeper.release_all("the centre burns", "root") == 2
    for process, hold in zip((one, other), holds, strict=True):
        assert process.runs()
        assert bench.states(hold) == [S.APPROVED, S.RELEASED]
        last = bench.said(hold)[-1]
        assert isinstance(last, HoldState)
        assert (last.ground, last.by, last.reason) == (Ground.EMERGENCY, "root", "the centre burns")
    assert bench.notes.notices == [("release_all", "2 holds, by root: the centre burns")]


async def test_an_act_that_cannot_be_judged_stays_held_and_the_next_is_taken_up(
    bench: Bench, one: Child, other: Child
) -> None:
    """One bad record neither stops the loop nor runs on; only an emergency frees it."""

    def judge(act: Act) -> Ruled:
        raise RuntimeError("a bad record")

    bench.ruled = judge
    one.stop()
    bench.sensor.hold(open_act(one))
    bench.keeper.on_holds()
    assert one.stopped()
    assert [held.act.process.pid for held in bench.keeper.stuck()] == [one.pid]
    bench.ruled = lambda act: asking()
    other.stop()
    bench.hold(open_act(other))
    bench.keeper.release_all("test", "root")
    assert one.runs()
    assert bench.notes.acts[-1] == (None, None, "let go: ground emergency")
    assert bench.keeper.stuck() == []


async def test_a_process_is_never_confused_with_a_later_one_of_its_pid(
    bench: Bench, one: Child
) -> None:
    """The hold of a process that is gone is cancelled, and whoever has its pid is left alone."""
    one.start_ns -= 5_000_000_000
    bench.ruled = lambda act: asking(action=Action.DENY)
    bench.sensor.hold(open_act(one))
    bench.keeper.on_holds()
    assert not bench.keeper.holds()
    assert one.runs()


async def test_a_hold_stops_a_process_whose_stop_was_taken_back(bench: Bench, one: Child) -> None:
    """A SIGCONT for an earlier hold takes back a SIGSTOP on its way; the agent repeats it."""
    assert one.runs()
    bench.hold(open_act(one))
    one.wait_stopped()
    assert one.stopped()


async def test_a_kernel_that_does_not_forget_an_entry_keeps_the_process_stopped(
    bench: Bench, one: Child
) -> None:
    """The approval stands, the trouble is told, and nothing runs until it is over."""
    one.stop()
    hold = bench.hold(open_act(one))
    bench.sensor.refuse_forget = True
    bench.answer(hold, Answer.APPROVE)
    assert one.stopped()
    assert bench.states(hold) == [S.APPROVED, S.APPROVED]
    assert bench.notes.notices[0][0] == "not_settled"
    bench.sensor.refuse_forget = False
    await bench.settled()
    assert one.runs()
    assert bench.states(hold)[-1] is S.RELEASED


async def test_a_held_act_that_is_not_taken_up_keeps_its_process_stopped(
    bench: Bench, one: Child
) -> None:
    """The approval of another act of the same process does not free it."""

    def judge(act: Act) -> Ruled:
        if act.path == "/etc/bad":
            raise RuntimeError("a bad record")
        return asking()

    bench.ruled = judge
    one.stop()
    hold = bench.hold(open_act(one))
    bench.sensor.hold(open_act(one, "/etc/bad"))
    bench.keeper.on_holds()
    bench.answer(hold, Answer.APPROVE)
    assert one.stopped()
    assert bench.states(hold) == [S.APPROVED]


async def test_everything_is_killed_before_an_unload(
    bench: Bench, one: Child, other: Child
) -> None:
    """Also what was approved and waits for another, and what could not be taken up."""
    for process in (one, other):
        process.stop()
    hold = bench.hold(open_act(one))

    def judge(act: Act) -> Ruled:
        raise RuntimeError("a bad record")

    bench.ruled = judge
    bench.sensor.hold(open_act(other))
    bench.keeper.on_holds()
    await bench.keeper.end_all("unloaded", "root")
    assert one.ended_by() == other.ended_by() == signal.SIGKILL
    assert bench.states(hold) == [S.DENIED, S.KILLED]
    assert not bench.held.entries


async def test_an_entry_that_the_kernel_did_not_forget_is_forgotten_later(
    bench: Bench, one: Child
) -> None:
    """The hold is over at once; the map is cleaned as soon as it can be."""
    one.stop()
    hold = bench.hold(open_act(one))
    bench.sensor.refuse_forget = True
    os.kill(one.pid, signal.SIGKILL)
    await bench.settled()
    assert bench.states(hold) == [S.CANCELLED]
    bench.sensor.refuse_forget = False
    await bench.sensor.forgot.wait()
    assert not bench.held.entries


async def test_an_act_that_lands_while_the_stop_is_looked_at_is_asked_about(
    bench: Bench, one: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread's act after the last look at the map, before the last thread is stopped."""
    one.stop()
    first = bench.hold(open_act(one))
    look = bench.control.is_still

    def lands(process: ProcessId) -> bool:
        if len(bench.held.forgotten) + len(bench.held.entries) == 1:
            bench.sensor.hold(open_act(one, "/etc/gshadow"))
        return look(process)

    monkeypatch.setattr(bench.control, "is_still", lands)
    bench.answer(first, Answer.APPROVE)
    assert one.stopped()
    assert bench.states(first) == [S.APPROVED]
    (second,) = {hold.id for hold in bench.keeper.holds()} - {first}
    bench.answer(second, Answer.APPROVE)
    assert one.runs()
    assert bench.states(first) == bench.states(second) == [S.APPROVED, S.RELEASED]


async def test_an_act_that_lands_and_cannot_be_taken_up_keeps_the_process_stopped(
    bench: Bench, one: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The approval of the other act does not carry it along."""

    def judge(act: Act) -> Ruled:
        if act.path == "/etc/bad":
            raise RuntimeError("a bad record")
        return asking()

    bench.ruled = judge
    one.stop()
    hold = bench.hold(open_act(one))
    look = bench.control.is_still

    def lands(process: ProcessId) -> bool:
        if not bench.keeper.stuck():
            bench.sensor.hold(open_act(one, "/etc/bad"))
        return look(process)

    monkeypatch.setattr(bench.control, "is_still", lands)
    bench.answer(hold, Answer.APPROVE)
    assert one.stopped()
    assert bench.states(hold) == [S.APPROVED]


async def test_a_process_that_somebody_continued_is_stopped_again_before_it_is_let_go(
    bench: Bench, one: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it runs, the map may not yet have all that it did."""
    one.stop()
    hold = bench.hold(open_act(one))
    os.kill(one.pid, signal.SIGCONT)
    resume, found = bench.control.resume, list[bool]()

    def resumed(release: Release) -> Resumed:
        found.append(bench.control.is_still(release.process))
        return resume(release)

    monkeypatch.setattr(bench.control, "resume", resumed)
    bench.answer(hold, Answer.APPROVE)
    await bench.settled()
    assert found == [True]
    assert one.runs()
    assert bench.states(hold)[-1] is S.RELEASED


async def test_a_process_that_is_never_seen_stopped_is_never_let_go(
    bench: Bench, one: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread may be about to act; that it is kept is told, and its end still settles it."""
    one.stop()
    hold = bench.hold(open_act(one))
    told, notice = asyncio.Event(), bench.notes.notice

    def telling(name: str, words: str) -> None:
        notice(name, words)
        told.set()

    monkeypatch.setattr(bench.control, "is_still", lambda process: False)
    monkeypatch.setattr(bench.notes, "notice", telling)
    bench.answer(hold, Answer.APPROVE)
    await told.wait()
    assert one.stopped()
    assert bench.held.entries
    ((name, words),) = bench.notes.notices
    assert name == "not_settled"
    assert "neither stopped nor frozen" in words
    os.kill(one.pid, signal.SIGKILL)
    await bench.settled()
    assert S.RELEASED not in bench.states(hold)


async def test_a_subject_that_is_not_configured_is_told_once(
    bench: Bench, one: Child, other: Child
) -> None:
    """It was renamed while its processes ran; each act is judged and held like any other."""
    for process in (one, other):
        process.stop()
        bench.hold(replace(open_act(process), subject="old-name"))
    assert one.stopped()
    ((name, words),) = bench.notes.notices
    assert name == "unknown_subject"
    assert "old-name" in words


async def test_a_session_has_so_many_requests_waiting_and_what_comes_beyond_is_denied(
    bench: Bench,
) -> None:
    """The others stay as they are, and each says how many it were: at once, then after a pause."""
    with ExitStack() as stack:
        limit = 20
        session = SESSION
        waiting = []
        for number in range(limit):
            process = stack.enter_context(child())
            process.stop()
            waiting.append(bench.hold(open_act(process, f"/etc/{number}", session=session)))
        for number in range(11):
            process = stack.enter_context(child())
            process.stop()
            bench.sensor.hold(open_act(process, f"/etc/more-{number}", session=session))
            bench.keeper.on_holds()
            assert process.ended_by() == signal.SIGKILL
        elsewhere = stack.enter_context(child())
        elsewhere.stop()
        other = bench.hold(open_act(elsewhere, session=OTHER_SESSION))
        assert [hold.id for hold in bench.keeper.holds() if hold.waiting] == [*waiting, other]
        told = [words for name, words in bench.notes.notices if name == "session_capped"]
        assert [words.count("further act") for words in told] == [1, 1]
        assert "1 further act was denied" in told[0]
        assert "10 further acts were denied" in told[1]
        for hold in waiting:
            first = await _capped(bench, hold, 1)
            last = await _capped(bench, hold, 11)
            assert (first.capped, last.capped) == (waiting[0], waiting[0])
            assert "11 further acts were denied" in last.detail
        assert not [say for say in bench.said(other) if isinstance(say, HoldState)]
        denied = [one for one in bench.notes.acts if one[0] == "deny"]
        assert len(denied) == 11
        assert all(hold is None and "ground rule" in detail for _, hold, detail in denied)


async def test_a_subject_has_so_many_requests_waiting_however_many_sessions_it_has(
    tmp_path: Path,
) -> None:
    """Another subject asks as before; a restarted agent counts what waits, and an answer frees."""
    bench = Bench(tmp_path, per_subject=3)
    bench.keeper.start()
    with ExitStack() as stack:

        def stopped() -> Child:
            process = stack.enter_context(child())
            process.stop()
            return process

        def too_many(session: int) -> None:
            process = stopped()
            bench.sensor.hold(open_act(process, "/etc/more", session=f"{session}-{1 << 62}"))
            bench.keeper.on_holds()
            assert process.ended_by() == signal.SIGKILL

        waiting = [
            bench.hold(open_act(stopped(), f"/etc/{n}", session=f"{n}-{1 << 62}"))
            for n in (1, 2, 3)
        ]
        too_many(4)
        stranger = replace(open_act(stopped(), session=SESSION), subject="old-name")
        others = bench.hold(stranger)
        assert bench.restart() == len([*waiting, others])
        too_many(5)
        told = [words for name, words in bench.notes.notices if name == "subject_capped"]
        assert (
            told
            == [
                "'ai-worker': 3 requests of this subject wait, which is its limit; 1 further act "
                "was denied and not shown, and so is what comes until one of them is answered"
            ]
            * 2
        )
        details = [one[2] for one in bench.notes.acts if one[0] == "deny"]
        assert all("its subject has as many requests waiting" in detail for detail in details)
        assert len(details) == 2
        (noted, _) = (say.detail for say in bench.said(waiting[0]) if isinstance(say, HoldState))
        assert "which is its limit" in noted
        bench.answer(waiting[1], Answer.APPROVE)
        bench.hold(open_act(stopped(), "/etc/again", session=OTHER_SESSION))
    bench.crash()


async def _capped(bench: Bench, hold: HoldId, denied: int) -> HoldState:
    """Return what is said of a hold once so many acts of its session were denied."""
    for _ in range(200):
        for say in bench.said(hold):
            if isinstance(say, HoldState) and say.denied_beyond == denied:
                return say
        await asyncio.sleep(0.05)  # the next count is told after a pause, by nothing else
    raise AssertionError(f"{denied} are not said to be denied: {bench.said(hold)}")


async def test_what_is_denied_is_counted_anew_once_nothing_waits(bench: Bench) -> None:
    """As long as one waits the count goes on, whoever else was answered; then it begins at one."""
    with ExitStack() as stack:

        def held(name: str) -> HoldId | None:
            process = stack.enter_context(child())
            process.stop()
            act = open_act(process, f"/etc/{name}", session=SESSION)
            before = {hold.id for hold in bench.keeper.holds()}
            bench.sensor.hold(act)
            bench.keeper.on_holds()
            waiting = [one.id for one in bench.keeper.holds() if one.waiting]
            return next((one for one in waiting if one not in before), None)

        first, *others = [held(f"{number}") for number in range(20)]
        assert first is not None
        assert held("beyond") is None
        for hold in others:
            assert hold is not None
            bench.answer(hold, Answer.DENY)
        again = [held(f"again-{number}") for number in range(19)]
        assert held("beyond again") is None
        said = await _capped(bench, first, 2)
        assert said.capped == first
        for hold in (first, *again):
            assert hold is not None
            bench.answer(hold, Answer.DENY)
        anew = [held(f"anew-{number}") for number in range(20)]
        assert held("beyond anew") is None
        assert anew[0] is not None
        assert (await _capped(bench, anew[0], 1)).capped == anew[0]


async def test_an_answer_makes_room_for_the_next_of_a_session(bench: Bench) -> None:
    """Limits are on what waits, not on what there ever was."""
    with ExitStack() as stack:
        for number in range(25):
            process = stack.enter_context(child())
            process.stop()
            hold = bench.hold(open_act(process, f"/etc/{number}", session=SESSION))
            bench.answer(hold, Answer.APPROVE)
    assert not [name for name, _ in bench.notes.notices if name == "session_capped"]


async def test_who_lets_a_held_process_run_on_is_told_to_who_decides(
    bench: Bench, one: Child
) -> None:
    """The request stays open and says who, how often, and what came of it."""
    one.stop()
    act = open_act(one)
    hold = bench.hold(act)
    for ended in (False, True):
        bench.sensor.resumes.append(
            Resume(
                pid=one.pid,
                start_ns=act.process.start_ns,
                boot_ns=act.boot_ns + 1,
                count=10,
                by_pid=77,
                by_uid=1001,
                by_comm="evil`\u202e",
                ended=ended,
            )
        )
        bench.keeper.on_holds()
    said = [say for say in bench.said(hold) if isinstance(say, HoldState)]
    assert [say.state for say in said] == [S.HELD, S.HELD]
    assert said[0].detail == (
        "process 77 ('evil`\\u202e', uid 1001) sent it SIGCONT, the 10. time; it stays held"
    )
    assert "killed it when its next system call returned" in said[1].detail
    assert [name for name, _ in bench.notes.notices] == ["resumed_by_another"] * 2
    bench.answer(hold, Answer.DENY)
    await bench.settled()
    assert bench.states(hold)[-1] is S.KILLED

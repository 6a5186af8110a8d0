"""A new run after a crash at any step: every hold is taken up where it was, and nothing twice."""

import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import JournalError
from agent.processes import ProcessControl
from agent.release import ProcessId, Release
from rules.model import Action
from tests.support.children import Child, open_act
from tests.support.fake_sensor import HeldMap
from tests.support.keeping import MINUTE_NS, Bench, asking
from wire.messages import Answer, Ground, HoldOpened, HoldState, HoldStateName, OnTimeout

S = HoldStateName


class Crashed(BaseException):
    """Stands for kill -9: nothing in the agent catches it."""


def crash_at(bench: Bench, thing: object, name: str) -> None:
    """Make a method of one of the keeper's parts the last thing that this run does."""

    def die(*_: object, **__: object) -> None:
        raise Crashed(name)

    setattr(thing, name, die)


def damage(path: Path) -> None:
    """Write something over a database."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(b"not a database at all" * 1000)


def holds_damage(path: Path) -> bool:
    """Return whether a file is what `damage` wrote."""
    return path.read_bytes().startswith(b"not a database")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A keeper that has started with nothing held."""
    made = Bench(tmp_path)
    made.keeper.start()
    yield made
    made.crash()


async def test_an_open_hold_keeps_its_id_and_its_deadline(bench: Bench, one: Child) -> None:
    """Nothing is asked twice, and the answer to the first question still counts."""
    one.stop()
    hold = bench.hold(open_act(one))
    before = bench.kept(hold)
    bench.clock.boot += MINUTE_NS
    assert bench.restart() == 1
    assert bench.keeper.holds() == [replace(before, subject="ai-worker")]
    assert len(bench.said(hold)) == 1
    bench.answer(hold, Answer.APPROVE)
    assert one.runs()


async def test_a_denial_after_a_restart_can_be_read_by_whom_it_was_denied(
    bench: Bench, one: Child, tmp_path: Path
) -> None:
    """The act and its user are those of before, so the file is theirs and says what it was."""
    one.stop()
    hold = bench.hold(open_act(one))
    bench.crash()
    bench.begin()
    told = tmp_path / "denials"
    told.mkdir()
    bench.keeper._p.denials.__init__(told)  # type: ignore[misc]
    assert bench.keeper.start() == 1
    bench.answer(hold, Answer.DENY)
    (file,) = told.glob("*.json")
    said = json.loads(file.read_text())
    assert said["request"] == hold
    assert said["what"].startswith("open: ")
    if os.geteuid() == 0:
        assert file.stat().st_uid == open_act(one).process.uid


async def test_a_deadline_that_came_while_no_agent_ran_counts(bench: Bench, one: Child) -> None:
    """The deadline is on the boot clock, whoever runs."""
    one.stop()
    hold = bench.hold(open_act(one))
    bench.clock.boot += 11 * MINUTE_NS
    bench.restart()
    await bench.settled()
    assert one.ended_by() == signal.SIGKILL
    assert bench.states(hold) == [S.EXPIRED, S.KILLED]


@pytest.mark.parametrize("method", ["resume", "forget"])
async def test_what_was_approved_and_not_resumed_is_resumed(
    bench: Bench, one: Child, method: str
) -> None:
    """A crash between the journal and the signal costs a restart, not the approval."""
    one.stop()
    hold = bench.hold(open_act(one))
    crash_at(bench, bench.control if method == "resume" else bench.sensor, method)
    with pytest.raises(Crashed):
        bench.answer(hold, Answer.APPROVE)
    assert one.stopped()
    bench.restart()
    assert one.runs()
    assert bench.states(hold) == [S.APPROVED, S.RELEASED]


async def test_what_was_resumed_and_not_recorded_is_recorded(bench: Bench, one: Child) -> None:
    """The process ran on before the crash; it is said once that it did."""
    one.stop()
    hold = bench.hold(open_act(one))
    record = bench.journal.record

    def record_unless_released(step: object, now_ns: int) -> None:
        if any(h.state is S.RELEASED for h in step.holds):  # type: ignore[attr-defined]
            raise Crashed
        record(step, now_ns)  # type: ignore[arg-type]

    bench.journal.record = record_unless_released  # type: ignore[method-assign]
    with pytest.raises(Crashed):
        bench.answer(hold, Answer.APPROVE)
    assert one.runs()
    bench.restart()
    await bench.settled()
    assert bench.states(hold) == [S.APPROVED, S.RELEASED]


async def test_what_was_resumed_and_has_ended_was_not_killed(bench: Bench, one: Child) -> None:
    """It ran on, the agent died before it recorded that, and then the process came to its end."""
    one.stop()
    hold = bench.hold(open_act(one))

    def resume_and_die(release: Release) -> None:
        ProcessControl.resume(bench.control, release)
        raise Crashed

    bench.control.resume = resume_and_die  # type: ignore[method-assign, assignment]
    with pytest.raises(Crashed):
        bench.answer(hold, Answer.APPROVE)
    os.kill(one.pid, signal.SIGTERM)
    assert one.ended_by() == signal.SIGTERM
    bench.restart()
    assert bench.states(hold) == [S.APPROVED, S.RELEASED]
    assert "as it let the process go" in bench.said(hold)[-1].detail  # type: ignore[union-attr]


async def test_what_was_denied_and_not_killed_is_killed(bench: Bench, one: Child) -> None:
    """A crash between the journal and the signal does not save the process."""
    one.stop()
    hold = bench.hold(open_act(one))
    crash_at(bench, bench.control, "kill")
    with pytest.raises(Crashed):
        bench.answer(hold, Answer.DENY)
    bench.restart()
    await bench.settled()
    assert one.ended_by() == signal.SIGKILL
    assert bench.states(hold) == [S.DENIED, S.KILLED]


async def test_what_was_killed_and_not_recorded_is_recorded_as_killed(
    bench: Bench, one: Child
) -> None:
    """The process died of the denial while nobody looked."""
    one.stop()
    hold = bench.hold(open_act(one))
    bench.answer(hold, Answer.DENY)
    bench.crash()
    assert one.ended_by() == signal.SIGKILL
    bench.begin()
    bench.keeper.start()
    assert bench.states(hold) == [S.DENIED, S.KILLED]
    assert not bench.held.entries


async def test_what_is_over_and_not_forgotten_is_not_asked_about_again(
    bench: Bench, one: Child
) -> None:
    """A crash between the journal and the kernel's map leaves an entry; it is only removed."""
    one.stop()
    hold = bench.hold(open_act(one))
    bench.sensor.refuse_forget = True
    os.kill(one.pid, signal.SIGKILL)
    await bench.settled()
    assert bench.states(hold) == [S.CANCELLED]
    assert bench.held.entries
    assert bench.restart() == 0
    assert bench.states(hold) == [S.CANCELLED]
    assert bench.journal.unpublished() == 2
    assert not bench.held.entries


async def test_an_entry_that_the_journal_does_not_know_becomes_a_hold(
    bench: Bench, one: Child
) -> None:
    """The held map is the truth: what was held while no agent ran is asked about."""
    bench.crash()
    one.stop()
    bench.held.put(open_act(one))
    bench.begin()
    assert bench.keeper.start() == 1
    (hold,) = bench.keeper.holds()
    assert isinstance(bench.said(hold.id)[0], HoldOpened)
    assert one.stopped()


async def test_a_kernel_side_that_was_loaded_anew_confuses_no_keys(
    bench: Bench, one: Child, other: Child
) -> None:
    """Its keys begin at one again: the old hold keeps its process, the new entry its own."""
    one.stop()
    old = bench.hold(open_act(one))
    bench.crash()
    bench.held = HeldMap()
    other.stop()
    entry = bench.held.put(open_act(other))
    bench.begin()
    assert entry.key == bench.kept(old).key
    assert bench.keeper.start() == 2
    bench.answer(old, Answer.APPROVE)
    assert one.runs()
    assert other.stopped()
    assert list(bench.held.entries) == [entry.key]


async def test_a_hold_whose_process_is_gone_is_cancelled(bench: Bench, one: Child) -> None:
    """It died while no agent ran."""
    one.stop()
    hold = bench.hold(open_act(one))
    bench.crash()
    os.kill(one.pid, signal.SIGKILL)
    assert one.ended_by() == signal.SIGKILL
    bench.begin()
    assert bench.keeper.start() == 0
    assert bench.states(hold) == [S.CANCELLED]


async def test_holds_of_an_earlier_boot_are_cancelled_and_nobody_is_signalled(
    bench: Bench, one: Child
) -> None:
    """Pids begin anew with a boot; an approved hold of the last one resumes nobody."""
    one.stop()
    waiting = bench.hold(open_act(one, "/etc/a"))
    approved = bench.hold(open_act(one, "/etc/b"))
    bench.answer(approved, Answer.APPROVE)
    bench.crash()
    bench.held.entries.clear()
    bench.boot_id = "boot-2"
    bench.begin()
    assert bench.keeper.start() == 0
    assert one.stopped()
    assert bench.states(waiting) == [S.CANCELLED]
    last = bench.said(approved)[-1]
    assert isinstance(last, HoldState)
    assert "started anew" in last.detail
    assert "did not kill it" in last.detail


async def test_all_holds_of_a_process_are_known_before_it_may_run(bench: Bench, one: Child) -> None:
    """An approved hold in the journal does not free a process that was held again meanwhile."""
    one.stop()
    hold = bench.hold(open_act(one, "/etc/a"))
    crash_at(bench, bench.sensor, "forget")
    with pytest.raises(Crashed):
        bench.answer(hold, Answer.APPROVE)
    bench.held.put(open_act(one, "/etc/b"))
    assert bench.restart() == 2
    assert one.stopped()


async def test_a_passing_act_is_let_go_after_a_crash_between_map_and_signal(
    bench: Bench, one: Child
) -> None:
    """The entry is out of the map and the process still stopped: only the journal knows."""
    bench.ruled = lambda act: asking(action=Action.ALLOW)
    one.stop()
    bench.sensor.hold(open_act(one))
    crash_at(bench, bench.control, "resume")
    with pytest.raises(Crashed):
        bench.keeper.on_holds()
    assert not bench.held.entries
    bench.restart()
    assert one.runs()


async def test_a_damaged_journal_is_put_aside_and_what_is_held_is_asked_about_anew(
    bench: Bench, one: Child, tmp_path: Path
) -> None:
    """Nothing is deleted, nothing is released, and the agent carries on."""
    one.stop()
    hold = bench.hold(open_act(one))
    bench.crash()
    damage(tmp_path / "journal.db")
    bench.begin()
    assert bench.keeper.start() == 1
    (fresh,) = bench.keeper.holds()
    assert fresh.id != hold
    assert one.stopped()
    moved = bench.journal.moved
    assert moved is not None
    assert moved.name.startswith("journal.db.damaged-")
    assert holds_damage(moved)
    assert bench.notes.notices[0][0] == "journal_damaged"


async def test_a_disk_that_refuses_means_no_answer_takes_effect(bench: Bench, one: Child) -> None:
    """The stream is told nothing, so the verdict comes again, and then it counts."""
    one.stop()
    hold = bench.hold(open_act(one))
    record = bench.journal.record

    def refuse(step: object, now_ns: int) -> None:
        raise JournalError("the disk is full")

    bench.journal.record = refuse  # type: ignore[method-assign]
    verdict = bench.verdict(hold, Answer.APPROVE)
    with pytest.raises(JournalError):
        bench.deliver(verdict)
    assert one.stopped()
    assert bench.keeper.holds()[0].state is S.HELD
    bench.journal.record = record  # type: ignore[method-assign]
    bench.deliver(verdict)
    assert one.runs()


async def test_a_kept_hold_stays_kept_over_a_restart(bench: Bench, one: Child) -> None:
    """A time that has passed is no reason to let go, nor to ask again; an emergency is."""
    bench.ruled = lambda act: asking(on_timeout=OnTimeout.KEEP)
    one.stop()
    hold = bench.hold(open_act(one))
    bench.pass_time(10 * MINUTE_NS)
    bench.restart()
    assert one.stopped()
    assert bench.keeper.release_all("enough", "root") == 1
    assert one.runs()
    last = bench.said(hold)[-1]
    assert isinstance(last, HoldState)
    assert (last.state, last.ground) == (S.RELEASED, Ground.EMERGENCY)


def test_a_resume_needs_a_release_and_a_release_needs_a_ground() -> None:
    """The types say so, and so does the code for whoever goes around them."""
    control = ProcessControl()
    process = ProcessId(1 << 22, 1)
    wrong: list[Callable[[], object]] = [
        lambda: Release(process=process, grounds={}),
        lambda: Release(process=process, grounds={"a": None}),  # type: ignore[dict-item]
        lambda: control.resume(process),  # type: ignore[arg-type]
    ]
    for attempt in wrong:
        with pytest.raises(Exception, match=r"ground|names at least one hold"):
            attempt()

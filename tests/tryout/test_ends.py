"""However a run ends, nothing of it stays running, mounted, pinned or stopped."""

import os
import signal

import pytest

from deploy.tryout import processes
from tests.tryout.terminal import Run, unattended, wait_for_the_keeper, what_is_left

pytestmark = pytest.mark.end_to_end
WAITS = "the kernel holds process"


@pytest.mark.parametrize(
    ("stage", "number"),
    [
        ("start nats-server", signal.SIGINT),
        ("start the agent", signal.SIGTERM),
        (WAITS, signal.SIGHUP),
    ],
)
def test_a_signal_ends_a_run_in_order(tryout: Run, stage: str, number: signal.Signals) -> None:
    """While parts start, while BPF programs load, while a process is held."""
    tryout.expect(stage)
    tryout.send(number)
    assert tryout.exit_code() == 128 + number, tryout.text
    assert what_is_left() == []


def test_ctrl_c_at_the_question_ends_a_run_in_order(tryout: Run) -> None:
    """The held process dies with the run; it does not get its act."""
    tryout.expect_question()
    tryout.type("\x03")
    assert tryout.exit_code() == 130, tryout.text
    assert what_is_left() == []


def test_a_killed_terminal_side_is_noticed_by_the_keeper(tryout: Run) -> None:
    """kill -9 of what is seen: the keeper undoes everything by itself."""
    tryout.expect(WAITS)
    tryout.send(signal.SIGKILL)
    wait_for_the_keeper()
    assert what_is_left() == []


def test_a_killed_keeper_is_noticed_by_the_terminal_side(tryout: Run) -> None:
    """kill -9 of what owns everything: the other side removes what it left, and fails."""
    tryout.expect_question()
    keeper = tryout.keeper()
    assert processes.end(keeper.pid, signal.SIGKILL, keeper.start)
    assert tryout.exit_code() == 1, tryout.text
    assert what_is_left() == []


def test_clean_removes_what_is_left_when_both_are_killed(tryout: Run) -> None:
    """kill -9 of both: --clean finds the held process, the user, the pins and the room."""
    tryout.expect(WAITS)
    keeper = tryout.keeper()
    os.kill(tryout.pid, signal.SIGSTOP)
    assert processes.end(keeper.pid, signal.SIGKILL, keeper.start)
    tryout.send(signal.SIGKILL)
    tryout.exit_code()
    assert what_is_left() != []
    done = unattended("--clean")
    assert done.returncode == 0, done.stdout
    assert "removed" in done.stdout
    assert what_is_left() == []


def test_a_second_run_waits_for_nobody(tryout: Run) -> None:
    """Two runs would share a user and pins, so the second is refused and the first goes on."""
    tryout.expect(WAITS)
    done = unattended("--answer", "approve")
    assert done.returncode == 1
    assert "another try-out is running" in done.stdout
    tryout.send(signal.SIGINT)
    assert tryout.exit_code() == 130

"""Which mode a host works in, by what was tried."""

import pytest

from agent.sensor.choose import best
from agent.sensor.preemption import preempts
from agent.sensor.sides import FMOD_RET, LSM, STOP, Side
from rules.modes import HostMode

WORKS = dict.fromkeys(("raw_tracepoint", "signal", "lsm", "fmod_ret", "fexit"), True)


@pytest.mark.parametrize(
    ("lacking", "mode", "side"),
    [
        ({}, HostMode.GATE, LSM),
        ({"lsm"}, HostMode.GATE, FMOD_RET),
        ({"lsm", "fmod_ret"}, HostMode.STOP, STOP),
        ({"fexit"}, HostMode.STOP, STOP),
        ({"raw_tracepoint"}, HostMode.AUDIT, None),
        ({"signal"}, HostMode.AUDIT, None),
    ],
)
def test_the_best_mode_is_the_one_of_which_everything_works(
    lacking: set[str], mode: HostMode, side: Side | None
) -> None:
    """And what is better says why it is not taken."""
    trials = {name: "no" if name in lacking else works for name, works in WORKS.items()}
    found = best(trials)
    assert (found.mode, found.side) == (mode, side)
    assert all(any(name in one for one in found.why) for name in lacking)


def test_what_was_not_tried_does_not_work() -> None:
    """As of a loader that could not run."""
    assert best({}).mode is HostMode.AUDIT


@pytest.mark.parametrize(
    ("version", "command_line", "chosen", "model"),
    [
        ("#1 SMP PREEMPT_DYNAMIC Debian 6.1", "", None, ""),
        ("#1 SMP PREEMPT_DYNAMIC Debian 6.1", "quiet preempt=full", None, "full"),
        ("#1 SMP PREEMPT_DYNAMIC Debian 6.1", "", "none (voluntary) full \n", ""),
        ("#1 SMP PREEMPT_DYNAMIC Debian 6.1", "", "none voluntary (full) \n", "full"),
        ("#1 SMP PREEMPT lowlatency", "", None, "full"),
        ("#1 SMP PREEMPT_RT Debian", "", None, "rt"),
        ("#1 SMP Debian 5.10", "", None, ""),
    ],
)
def test_a_kernel_that_preempts_itself_is_told_by_its_words(
    version: str, command_line: str, chosen: str | None, model: str
) -> None:
    """And then gate mode is not taken."""
    assert preempts(version, command_line, chosen) == model
    assert best(WORKS, model).mode is (HostMode.STOP if model else HostMode.GATE)

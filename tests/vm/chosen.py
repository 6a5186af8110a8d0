"""Which tests run inside the VMs: not all, since software emulation is 15 times slower."""

import os
import shlex

from tests.vm.image import CHECKOUT

_GATE = "tests/kernel/test_gate_*.py"
# Of stop mode: what holds, and what is lost.
_STOP = (
    "tests/kernel/test_attach.py",
    "tests/kernel/test_exec.py",
    "tests/kernel/test_open.py",
    "tests/kernel/test_losses.py",
)
# All of Holdfast together, in the mode that is asked for.
_TOGETHER = "tests/end_to_end/test_main_job.py"
# These let a process run on as root can in stop mode. In gate mode nobody can.
_OF_STOP_MODE = (
    "test_two_holds_of_one_process_need_two_approvals",
    "test_a_denial_of_one_hold_kills_whatever_else_was_approved",
)


def tests() -> list[str]:
    """Return the arguments for pytest; HOLDFAST_VM_TESTS may have others, in a shell's quoting."""
    own = os.environ.get("HOLDFAST_VM_TESTS", "")
    if own:
        return shlex.split(own)
    if os.environ.get("HOLDFAST_TEST_MODE") == "stop":
        return [*_STOP, _TOGETHER]
    gate = sorted(str(path.relative_to(CHECKOUT)) for path in CHECKOUT.glob(_GATE))
    return [*gate, _TOGETHER, *(f"--deselect={_TOGETHER}::{name}" for name in _OF_STOP_MODE)]

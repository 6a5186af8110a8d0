"""Which tests run inside the VMs: not all, since software emulation is 15 times slower."""

import os
import shlex

# The programs themselves: each kind of act, labels, what is lost, pins.
SOME = (
    "tests/kernel/test_attach.py",
    "tests/kernel/test_exec.py",
    "tests/kernel/test_open.py",
    "tests/kernel/test_connect.py",
    "tests/kernel/test_losses.py",
    "tests/end_to_end/test_main_job.py",
)
EVERYTHING = (*SOME,)


def tests() -> list[str]:
    """Return the arguments for pytest; HOLDFAST_VM_TESTS may have others, in a shell's quoting."""
    own = os.environ.get("HOLDFAST_VM_TESTS", "")
    return shlex.split(own) if own else list(SOME)

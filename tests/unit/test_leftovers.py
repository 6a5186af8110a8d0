"""What a test may leave behind is told apart from what was there before it."""

import os
import signal
import subprocess

from tests.support import leftovers


def test_a_process_that_was_there_is_the_same_one_in_any_state() -> None:
    """One that slept before and is stopped now has not come from anywhere."""
    with subprocess.Popen(["/bin/sleep", "600"]) as child:
        try:
            before = leftovers.running()
            assert any(one.startswith(f"process {child.pid}: ") for one in before)
            child.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, child.pid, os.WSTOPPED)
            assert leftovers.running() == before
        finally:
            child.kill()

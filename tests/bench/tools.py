"""A tool that is measured, run in the foreground as a child of the bench."""

import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_WAIT_S = 60
_LOOK_S = 0.02


@contextmanager
def running(
    command: Sequence[str], output: Path, ready: Callable[[int], bool], end: signal.Signals
) -> Iterator[None]:
    """Have a tool run, its output in a file, from when `ready(pid)` until it has ended by `end`.

    Fails if it does not become ready, or ends with an error.
    """
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        _wait(process, ready)
        yield
    finally:
        process.send_signal(end)  # our own child, not waited for yet
        try:
            code = process.wait(_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    assert code == 0, f"{command[0]} ended with {code}:\n{output.read_text(errors='replace')}"


def _wait(process: "subprocess.Popen[bytes]", ready: Callable[[int], bool]) -> None:
    """Return once it is ready, which nothing announces; its end is announced."""
    descriptor = os.pidfd_open(process.pid)
    try:
        for _ in range(int(_WAIT_S / _LOOK_S)):
            if ready(process.pid):
                return
            if select.select([descriptor], [], [], _LOOK_S)[0]:
                break
    finally:
        os.close(descriptor)
    raise AssertionError(f"{process.args!r} has ended, or is not ready after {_WAIT_S} s")

"""Runs the commands of the set-up, shows their last line, and ends them when the run is ended."""

import os
import signal
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from deploy.bootstrap.errors import CommandError, Interrupted
from deploy.bootstrap.progress import Step

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TAIL_LINES = 25


def interruptible() -> None:
    """Turn the signals that ask a program to end into Interrupted, wherever it is."""

    def raise_interrupted(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(number)

    for number in ENDING:
        signal.signal(number, raise_interrupted)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Keep the ending signals back until the body is over; they arrive then.

    By handlers and not by the signal mask, which another thread would not share.
    """
    arrived: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)

    before = {number: signal.signal(number, remember) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])


def run(
    argv: Sequence[str],
    *,
    step: Step | None = None,
    user: int | None = None,
    group: int | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: str | None = None,
    whole: bool = False,
) -> None:
    """Run a command to its end; raise CommandError with its last output if it fails.

    A command that must be `whole` (a package being unpacked) is not told of an interruption:
    it ends first, then the interruption is raised.
    """
    process = subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        user=user,
        group=group,
        extra_groups=[] if user is not None else None,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
        cwd=cwd,
        start_new_session=True,
    )
    if not whole:
        tail = _follow(process, step)
    else:
        with uninterrupted():
            tail = _follow(process, step)
    if process.returncode != 0:
        raise CommandError(
            f"{' '.join(argv)} failed with exit code {process.returncode}; it last said:\n"
            + "\n".join(f"    {line}" for line in tail)
        )


def _follow(process: "subprocess.Popen[str]", step: Step | None) -> "deque[str]":
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            tail.append(line.rstrip())
            if step is not None:
                step.detail(line)
        process.wait()
    except BaseException:
        # It leads its own session, so the terminal's Ctrl-C has not reached it or its children.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    finally:
        process.stdout.close()
    return tail

"""Proves that a process really waits: what the kernel says of it, looked at twice."""

from dataclasses import dataclass

from deploy.tryout import processes
from deploy.tryout.acts import DemoAct
from deploy.tryout.board import Board, Facts
from deploy.tryout.errors import ProofError

UNANSWERED = "the process ended without an answer (somebody continued or killed it)"
_NS_PER_TICK = 1_000_000_000 // processes.TICKS_PER_S


@dataclass(frozen=True, slots=True)
class Waiting:
    """A process that was stopped when it was looked at."""

    pid: int
    start: int
    ran_ns: int


def look_at_held(request: Facts, act: DemoAct, board: Board) -> Waiting:
    """Return the held process of a request; raise ProofError unless it is really stopped.

    It is the process of the act, by pid and start time, in state T, and the act has not happened.
    """
    process = request["act"]["process"]
    pid = int(process["pid"])
    seen = processes.look(pid)
    if seen is None:
        raise ProofError(f"{act.title}: {UNANSWERED}")
    # The boot clock goes on during suspend and its start time is exact; /proc rounds to ticks.
    if abs(seen.start - int(process["start_ns"]) // _NS_PER_TICK) > 1:
        raise ProofError(f"{act.title}: process {pid} is another one than the request says")
    if not seen.stopped:
        raise ProofError(f"{act.title}: process {pid} is in state {seen.state}, not stopped (T)")
    if act.happened(board):
        raise ProofError(f"{act.title}: while process {pid} was held, already {act.after}")
    return Waiting(pid, seen.start, seen.ran_ns)


def check_still_held(waiting: Waiting, request: Facts, act: DemoAct, board: Board) -> None:
    """Raise ProofError unless the process has not run for a nanosecond since it was looked at."""
    now = look_at_held(request, act, board)
    if now.start != waiting.start or now.ran_ns != waiting.ran_ns:
        raise ProofError(
            f"{act.title}: process {waiting.pid} ran for {now.ran_ns - waiting.ran_ns} ns "
            "while it was held"
        )

"""Where a run is not the same as without an agent, by nature; docs/transparency.md explains it.

A row that no longer differs fails its case, as does a difference without a row.
"""

from dataclasses import dataclass

from tests.transparency.settings import HOLD, OBSERVE

STOP, GATE = "stop", "gate"


@dataclass(frozen=True, slots=True)
class Difference:
    """Which line of a case differs, in which modes and setting, and what stands there then."""

    topic: str  # the row of the page
    case: str
    key: str
    value: str
    modes: tuple[str, ...] = (STOP, GATE)
    setting: str = HOLD


_EINTR = "-1 EINTR"


def _interrupted(case: str, key: str) -> Difference:
    return Difference("Calls that Linux ends at a stop", case, key, _EINTR)


def _told(key: str, value: str) -> Difference:
    return Difference("Parents that ask for stops", "parents", key, value)


def _sent(key: str, value: str) -> Difference:
    return Difference("Many messages in one call", "connect", key, value, modes=(GATE,))


def _reached(key: str, value: str) -> Difference:
    topic = "Reaching into another process"
    return Difference(topic, "filters-and-limits", key, value, modes=(GATE,))


EXCEPTIONS: tuple[Difference, ...] = (
    Difference(
        "A connect with a send timeout",
        "connect",
        "connect with a send timeout",
        _EINTR,
        modes=(STOP,),
    ),
    _sent("send to different ones", "1"),
    _sent("received by the first", " 'b'"),
    _sent("received by the second", ""),
    _interrupted("waits", "epoll_wait"),
    _interrupted("waits", "accept with a timeout"),
    _interrupted("waits", "recv with a timeout"),
    _interrupted("waits", "semop"),
    _interrupted("waits", "sigwaitinfo"),
    _interrupted("waits", "sigtimedwait"),
    _interrupted("waits", "io_getevents"),
    _told("stops that waitpid tells of", "1"),
    _told("the first that waitid tells of", "a stop"),
    _told("stops that SIGCHLD tells of", "1"),
    Difference("A handler of SIGCONT", "parents", "it was called", "1"),
    Difference(
        "Programs that trace",
        "tracing",
        "end of a traced child that opens what may be held",
        "killed by KILL",
        modes=(STOP,),
    ),
    Difference(
        "Programs that trace",
        "tracing",
        "calls of openat seen of a child that opens what may be held",
        "2",
        modes=(GATE,),
    ),
    Difference("Programs that trace", "debuggers", "its log has the act", "2", modes=(GATE,)),
    Difference("Programs that trace", "debuggers", "its log has stops", "2", modes=(GATE,)),
    Difference("Programs that trace", "debuggers", "strace", "137, Killed", modes=(STOP,)),
    Difference("Programs that trace", "debuggers", "its log has the act", "0", modes=(STOP,)),
    Difference(
        "Files that are opened through a ring",
        "io_uring",
        "what a library reads of held",
        "-1, ''",
        modes=(GATE,),
    ),
    _reached("the descriptor of another", "EPERM"),
    _reached("calls that the supervisor was told of", "0"),
    _reached("who was supervised", "exit 6"),
    Difference(
        "Job control in an interactive shell",
        "job-control",
        "a program in the foreground",
        "[1]+  Stopped                 /bin/true / 147",
    ),
)


def expected(case: str, mode: str, setting: str) -> dict[str, str]:
    """Return by key what a case says differently in this mode and setting."""
    assert setting in (HOLD, OBSERVE)
    return {
        one.key: one.value
        for one in EXCEPTIONS
        if one.case == case and mode in one.modes and one.setting == setting
    }

"""The host's two clocks, and an alarm on the one that decides expiry (it runs through suspend)."""

import asyncio
import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from agent.errors import AgentError

_ABSOLUTE = 1  # TFD_TIMER_ABSTIME
_libc = ctypes.CDLL(None, use_errno=True)


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Clock(Protocol):
    """Where times come from. All are nanoseconds."""

    def boot_ns(self) -> int:
        """Return the time since boot, suspend included."""

    def now_ns(self) -> int:
        """Return the time since the epoch (UTC)."""


class Alarm(Protocol):
    """Calls back once the boot clock has reached a time."""

    def set(self, boot_ns: int | None) -> None:
        """Replace the time to call at; None for never. A time that has passed calls at once."""

    def close(self) -> None:
        """Never call again."""


class SystemClock:
    """The clocks of this host."""

    def boot_ns(self) -> int:
        """Return the time since boot, suspend included."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def now_ns(self) -> int:
        """Return the time since the epoch (UTC)."""
        return time.time_ns()


class BootAlarm:
    """An Alarm made of a timerfd: the kernel wakes the loop, also after a suspend."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop = loop
        self._call = call
        self._fd = _libc.timerfd_create(time.CLOCK_BOOTTIME, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise AgentError(f"timerfd_create: {os.strerror(ctypes.get_errno())}")
        loop.add_reader(self._fd, self._ring)

    def set(self, boot_ns: int | None) -> None:
        """Replace the time to call at; None for never. A time that has passed calls at once."""
        # Zero would disarm the timer, and a hold at boot time zero is still due.
        seconds, rest = (0, 0) if boot_ns is None else divmod(max(boot_ns, 1), 1_000_000_000)
        spec = _Itimerspec(_Timespec(0, 0), _Timespec(seconds, rest))
        if _libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(spec), None) < 0:
            raise AgentError(f"timerfd_settime: {os.strerror(ctypes.get_errno())}")

    def close(self) -> None:
        """Never call again."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _ring(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # set again between the wake-up and this read
            return
        self._call()


def boot_id() -> str:
    """Return the id of this boot, as the kernel gives it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()

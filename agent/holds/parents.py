"""Parents that stop because their child does, and would stay stopped when it runs on: sudo is one.

They see their child stop some time after it did, so they are looked at for a while.
"""

import asyncio
import logging
from collections.abc import Callable

from agent.errors import ControlError
from agent.holds.machine import Machine
from agent.processes import ProcessControl
from agent.release import ProcessId, Release

log = logging.getLogger("holdfast.agent.holds")

_LOOKS_S = (0.0, 0.1, 0.5, 2.0)


class Parents:
    """Lets stopped parents of a released process run on, as far as they have no hold themselves.

    `blocked` says of the others that they must stay stopped.
    """

    def __init__(
        self, control: ProcessControl, machine: Machine, blocked: Callable[[ProcessId], bool]
    ) -> None:
        self._control = control
        self._machine = machine
        self._blocked = blocked

    def above(self, process: ProcessId) -> list[ProcessId]:
        """Return what is above a held process within its session; ask before it runs on."""
        # The first process of the session may be gone by now; nothing in it is older.
        began = next(iter(self._machine.of(process))).session.partition("-")[2]
        return self._control.parents(process, int(began))

    def wake(self, release: Release, above: list[ProcessId]) -> None:
        """Wake those of them that are stopped, now and a little later."""
        loop = asyncio.get_running_loop()
        for delay_s in _LOOKS_S if above else ():
            loop.call_later(delay_s, self._wake, release, above)

    def _wake(self, release: Release, above: list[ProcessId]) -> None:
        # /proc knows start times to the tick only.
        held = {one.tick for one in self._machine.processes()}
        free = [one for one in above if one.tick not in held and not self._blocked(one)]
        try:
            self._control.wake_parents(release, free)
        except ControlError as error:
            log.warning("what waits for process %s: %s", release.process, error)

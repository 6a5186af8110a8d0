"""Keeps everybody of a quarantined subject stopped, and lets them run on once it is lifted.

Who belongs to a subject is what the kernel's labels say, never a name or a user. The kernel labels
each fork before it can run, so looking until nobody is new leaves nobody out. Who comes later, the
kernel itself stops before it has run, and says so.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from agent.errors import AgentError, ControlError
from agent.orders.store import OrderStore, Stopped
from agent.processes import ProcessControl
from agent.release import Lift, ProcessId
from agent.sensor.interface import Sensor

log = logging.getLogger("holdfast.agent.orders")

# How long somebody new may run where nothing in the kernel stops them. Only mode audit needs this
# look: it learns of a process by what that does, and nobody tells it that one was forked.
_LOOK_S = 0.1
_AGAIN_S = 1.0  # until what could not be done is tried again


class Warden:
    """Stops and lets go. `holds` says whether a process has a hold, whose end is not ours."""

    def __init__(
        self,
        store: OrderStore,
        sensor: Sensor,
        control: ProcessControl,
        *,
        boot_id: str,
        holds: Callable[[ProcessId], bool],
        notice: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._sensor = sensor
        self._control = control
        self._boot_id = boot_id
        self._holds = holds
        self._notice = notice
        # By pid and clock tick, since labels and acts know start times to different precision.
        self._stopped: dict[tuple[int, int], Stopped] = {
            one.process.tick: one for one in store.stopped(boot_id)
        }
        self._timer: asyncio.TimerHandle | None = None
        self._trouble = ""
        self._failed = False

    def start(self) -> None:
        """Put in force what is on disk, from now on; the sensor must have started."""
        for one in list(self._stopped.values()):
            if self.keeps(one.process):
                self._keep(one.process)
        self.look()

    def close(self) -> None:
        """Look no more; who is stopped stays stopped."""
        if self._timer is not None:
            self._timer.cancel()

    def keeps(self, process: ProcessId) -> bool:
        """Return whether a process must not run on, whatever its holds say."""
        kept = self._stopped.get(process.tick)
        return kept is not None and self._store.quarantine_of(kept.subject) is not None

    def processes(self) -> list[ProcessId]:
        """Return everybody who is kept stopped."""
        return [one.process for one in self._stopped.values()]

    def alive(self) -> list[ProcessId]:
        """Return those of them that have not ended."""
        return [process for process in self.processes() if self._control.is_alive(process)]

    def look(self) -> None:
        """Stop who is new, let go whose quarantine is over, and look again while one is in force.

        Never raises: what cannot be done is said once, and tried again.
        """
        self.close()
        self._failed, told = False, True
        try:
            # First, so that whoever is labelled after the look below is told.
            told = self._sensor.quarantine({one.subject for one in self._store.quarantines()})
            self._take_caught()
            self._sensor.quarantine((), settled=True)
            self._stop_all()
            self._let_go()
        except AgentError as error:
            self._tell(str(error))
        if self._failed:
            self._again(_AGAIN_S)
        else:
            self._trouble = ""
            if not told and (self._stopped or self._store.quarantines()):
                self._again(_LOOK_S)

    def on_caught(self) -> None:
        """Take up whom the kernel has stopped since the last time; never raises."""
        try:
            if self._take_caught():
                self._let_go()
        except AgentError as error:
            self._tell(str(error))
            self._again(_AGAIN_S)

    def _again(self, delay_s: float) -> None:
        self.close()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self.look)

    def stop(self, process: ProcessId, subject: str) -> None:
        """Have one more process kept stopped, which was seen at an act; raise JournalError."""
        if process.tick not in self._stopped:
            self._take([Stopped(process, subject, before=False)])

    def kill_all(self) -> None:
        """End everybody who is kept stopped, as one who takes the kernel side out must."""
        for process in self.processes():
            self._control.kill(process)

    # -- stopping -----------------------------------------------------------------------------

    def _stop_all(self) -> None:
        for subject in dict.fromkeys(one.subject for one in self._store.quarantines()):
            count = 0
            while fresh := self._fresh(subject):
                self._take(fresh)
                count += len(fresh)
            if count:
                self._notice("quarantined", f"{count} processes of {subject!r} are stopped")

    def _take_caught(self) -> int:
        """Keep stopped whom the kernel has stopped; who belongs to none in force is let go next."""
        fresh = [
            Stopped(process, subject, before=False)
            for process, subject in self._sensor.caught()
            if process.tick not in self._stopped and self._control.is_alive(process)
        ]
        if fresh:
            self._take(fresh)
            for subject, count in Counter(one.subject for one in fresh).items():
                self._notice("quarantined", f"{count} new processes of {subject!r} are stopped")
        return len(fresh)

    def _fresh(self, subject: str) -> list[Stopped]:
        found = []
        for process in self._sensor.labelled(subject):
            if process.tick in self._stopped:
                continue
            try:
                # One with a hold is stopped by that, and runs on when it ends.
                before = (
                    not self._holds(process)
                    and self._control.is_stopped(process)
                    and not self._sensor.is_caught(process)
                )
                if self._control.is_alive(process):
                    found.append(Stopped(process, subject, before))
            except ControlError as error:  # one must not keep the others
                self._tell(str(error))
        return found

    def _take(self, fresh: list[Stopped]) -> None:
        # On disk before the signal, or a crash in between would leave it stopped for good.
        self._store.stopping(fresh, self._boot_id)
        for one in fresh:
            self._stopped[one.process.tick] = one
        for one in fresh:
            self._keep(one.process)

    def _keep(self, process: ProcessId) -> None:
        for means in (self._control.stop, self._control.freeze):
            try:
                means(process)
            except ControlError as error:
                self._tell(str(error))

    # -- letting go ---------------------------------------------------------------------------

    def _let_go(self) -> None:
        alive = {key: self._control.is_alive(one.process) for key, one in self._stopped.items()}
        free = [
            (key, one)
            for key, one in self._stopped.items()
            if not alive[key] or self._store.quarantine_of(one.subject) is None
        ]
        done = []
        for key, one in free:
            try:
                if alive[key] and not self._holds(one.process):
                    self._control.lift(Lift(process=one.process, before=one.before))
                done.append(key)
            except ControlError as error:  # the others need not wait for it
                self._tell(str(error))
        if not done:
            return
        self._store.forget([self._stopped[key].process for key in done], self._boot_id)
        let_go = sum(alive[key] for key in done)
        for key in done:
            one = self._stopped.pop(key)
            if not self._holds(one.process):
                self._control.drop(one.process)
        if let_go:
            self._notice("quarantine_lifted", f"{let_go} processes run on as their holds allow")

    def _tell(self, words: str) -> None:
        self._failed = True
        log.warning("%s", words)
        if words != self._trouble:
            self._notice("quarantine_incomplete", words)
        self._trouble = words

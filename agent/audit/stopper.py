"""Stops who did an act that has been reported, once there is an entry that says so."""

import logging
from dataclasses import replace

from agent.audit.acts import resolved
from agent.audit.family import Family, arguments_of, environment_of
from agent.audit.held import HeldFiles
from agent.errors import ControlError, SensorError
from agent.processes import ProcessControl
from agent.release import ProcessId
from agent.sensor.interface import HeldAct
from agent.sensor.records import ENVIRONMENT_BYTES, environment_facts
from wire.acts import Act, Kind

log = logging.getLogger("holdfast.agent.audit")


class Stopper:
    """Makes a HeldAct of an act: entry, SIGSTOP, then what can be seen of the process."""

    def __init__(self, files: HeldFiles, family: Family) -> None:
        self._files = files
        self._family = family
        self._control = ProcessControl()

    def hold(self, act: Act, descriptor: int | None) -> HeldAct:
        """Stop who did it; `descriptor` is what an open gave them.

        If they are gone, `ended` says so. Raises SensorError or ControlError with nobody stopped.
        """
        process = ProcessId.of(act.process)
        if not process.start_ns:
            return HeldAct(key=self._files.unused(), act=act, ended=True)
        key = self._files.open(act)
        if not self.stop(process):
            self._files.forget(key)
            return HeldAct(key=key, act=act, ended=True)
        act = self._with_facts(act, process, descriptor)
        try:
            self._files.write(key, act)
        except SensorError as error:
            log.warning("what is held of process %s has fewer facts on disk: %s", process, error)
        return HeldAct(key=key, act=act)

    def stop_all_again(self) -> None:
        """Stop who has an entry: an agent before may have ended between the two."""
        for held in self._files.all():
            try:
                self.stop(ProcessId.of(held.act.process))
            except ControlError as error:
                log.error("%s", error)

    def stop(self, process: ProcessId) -> bool:
        """Send SIGSTOP; return whether there is somebody to stop; raise ControlError."""
        try:
            self._control.stop(process)
            return self._control.is_alive(process)
        finally:
            self._control.drop(process)

    def kill(self, process: ProcessId) -> None:
        """End a process that cannot be held, since nothing would say that it is."""
        try:
            self._control.kill(process)
        except ControlError as error:
            log.error("%s", error)
        finally:
            self._control.drop(process)

    def _with_facts(self, act: Act, process: ProcessId, descriptor: int | None) -> Act:
        act = resolved(act, descriptor)
        if act.kind is Kind.EXEC:
            raw, total = environment_of(process, ENVIRONMENT_BYTES)
            act = replace(act, environment=environment_facts(raw, total=total))
        argv = act.argv if act.kind is Kind.EXEC else arguments_of(process)
        return replace(
            act,
            process=replace(act.process, argv=argv),
            ancestors=self._family.ancestors(process, act.session),
        )

"""Mode `audit`: auditd reports what has happened, and the agent stops who did it."""

import logging
import os
import platform
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from agent import procfs
from agent.audit.acts import Whose, act_of, call_of, did_nothing, resolved
from agent.audit.child import ReaderProcess
from agent.audit.family import Family
from agent.audit.frames import Away, Connected, Event, Frame, Garbled, Lost, Missing, RulesChanged
from agent.audit.held import HeldFiles
from agent.audit.kernelrules import KernelRules
from agent.audit.leftover import LeftRules
from agent.audit.ruleset import audit_rules
from agent.audit.startable import check_startable, is_immutable, unseen
from agent.audit.stopper import Stopper
from agent.audit.told import Told
from agent.audit.wanted import STOP, Wanted
from agent.errors import AgentError, ControlError, RecordError, SensorError
from agent.release import ProcessId
from agent.sensor.interface import (
    Caught,
    HeldAct,
    HeldKey,
    Losses,
    Observed,
    Permits,
    Resume,
    Subject,
    Use,
)
from agent.sensor.permits import NoPermits
from rules.superset import KernelTables
from wire.acts import Act, Kind

log = logging.getLogger("holdfast.agent.audit")

# Both clocks of a comparison are cut off, to 10 ms at most each.
_SLACK_NS = 30_000_000
_MOST_WAITING = 65_536


class AuditSensor:
    """Implements interface.Sensor and interface.Telling. Not for use from several threads."""

    mode = "audit"
    permits: Permits = NoPermits()

    def __init__(
        self, socket: Path, run: Path, *, key: str = "holdfast", left: Path | None = None
    ) -> None:
        """`socket` is that of auditd's af_unix plugin; `run` is a directory that a reboot empties.

        `key` marks our rules among all others; `left` is the file that says so for the next agent.
        """
        self._socket, self._key = socket, key
        self._files = HeldFiles(run / "held")
        self._told_file = Told(run / "told")
        self._rules = KernelRules(key)
        self._left = LeftRules(left or run / "rules")
        self._notice: Callable[[str, str], None] = lambda name, words: log.warning(
            "%s: %s", name, words
        )
        self._returned: set[HeldKey] = set()
        self._fresh: list[HeldAct] = []
        self._observed: deque[Act] = deque()
        self._losses = Losses(events=0, holds=0, labels=0)
        self._kernel_lost = 0
        self._immutable = False
        self.connected = False  # whether records come through
        self._started = False

    def tell_through(self, notice: Callable[[str, str], None]) -> None:
        """Say what the sensor itself has to say by this from now on."""
        self._notice = notice

    # -- start and end ------------------------------------------------------------------------

    def start(
        self,
        subjects: Sequence[Subject],
        tables: KernelTables,
        journalled: Collection[HeldKey] = (),
    ) -> None:
        """Begin to hear of acts, or say in a SensorError what prevents it and what to change."""
        state = check_startable(subjects)
        self._immutable, self._kernel_lost = state.immutable, state.lost
        self._subjects = tuple(subjects)
        self._losses = self._told_file.read()
        self._reader = ReaderProcess(self._socket, self._key)
        self._events = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            # First who hears, then what is to be heard of.
            self._reader.start()
            self._family = Family(subjects, (os.getpid(), self._reader.pid, state.pid))
            self._stopper = Stopper(self._files, self._family)
            if not self._immutable:
                self._left.take_out(but=self._key)
                self._left.note(self._key)
            self.set_tables(tables)
            self._stopper.stop_all_again()
        except AgentError:
            self._reader.close()
            os.close(self._events)
            raise
        self._started = self.connected = True
        for name, words in (*state.notices, *unseen(self._family, state.pid)):
            self._notice(name, words)

    def set_tables(self, tables: KernelTables) -> None:
        """Put a new rule set's superset in force; the old one stays until the new one stands."""
        lines = audit_rules(self._subjects, tables, key=self._key, machine=platform.machine())
        # It may have become so since the start; it never ceases to be.
        self._immutable = self._immutable or is_immutable()
        if not self._immutable:
            self._rules.put(lines)
        elif not self._rules.has(lines):
            raise SensorError(
                "the audit configuration is immutable until the next boot (auditctl -s: enabled "
                "2) and lacks these rules; put them into /etc/audit/rules.d/holdfast.rules and "
                "reboot:\n" + "\n".join(lines)
            )
        self._wanted = Wanted(tables)

    def close(self) -> None:
        """Hear no more: nobody would stop anybody. What is held stays held."""
        if self._started:
            self._started = False
            self.detach()
            self._reader.close()
            os.close(self._events)

    def detach(self) -> None:
        """Let nothing new be held: our rules go, what is held can still be read and settled."""
        try:
            self._rules.remove()
            self._left.forget()
        except SensorError as error:
            log.warning("audit rules with the key %s stay in the kernel: %s", self._key, error)

    def unload(self) -> None:
        """Remove everything of ours; raise SensorError for rules that stay until the next boot."""
        self._files.clear()
        self._rules.remove()
        self._left.forget()
        self._told_file.clear()

    @property
    def reader_pid(self) -> int:
        """The process that reads what auditd says."""
        return self._reader.pid

    # -- holds --------------------------------------------------------------------------------

    def holds_fd(self) -> int:
        """Return a descriptor that is readable while the reader has said something."""
        return self._reader.fd

    def new_holds(self) -> list[HeldAct]:
        """Take what the reader has said; return what was stopped for it."""
        try:
            frames, ended = self._reader.take()
        except RecordError as error:
            frames, ended = [], str(error)
        for frame in frames:
            self._take(frame)
        if ended:
            self._absent("the audit reader died and was started anew", ended)
            self.connected = False
        found, self._fresh = self._fresh, []
        self._returned.update(held.key for held in found)
        return found

    def new_resumes(self) -> list[Resume]:
        """Return nothing: who resumes a held process is not seen in this mode."""
        return []

    def all_holds(self) -> list[HeldAct]:
        """Return everything that is held, whoever made it. Works without `start`."""
        found = self._files.all()
        self._returned.update(held.key for held in found)
        return found

    def admit(self, key: HeldKey, *, refuse: bool = False) -> None:
        """Do nothing: the call was made long ago; one that is to be refused is a SensorError."""
        if refuse:
            raise SensorError("a call that auditd has reported was made and cannot be refused")

    def missing(self) -> frozenset[Kind]:
        """Return nothing: what the mode can see does not depend on the kernel."""
        return frozenset()

    def beat(self) -> None:
        """Do nothing: without an agent nobody is stopped here."""

    def refuse_again(self, key: HeldKey, until_boot_ns: int) -> bytes | None:
        """Refuse nothing: here no call can be."""
        return None

    def refused_again(self, *, everything: bool = False) -> list[tuple[bytes, int]]:
        """Return nothing, see refuse_again."""
        return []

    def forget(self, key: HeldKey) -> None:
        """Take an entry away, just before its process runs on or once it is gone."""
        self._files.forget(key)
        self._returned.discard(key)

    def unguard(self, pid: int) -> None:
        """Do nothing: what keeps a process held here is that it is frozen."""

    # -- events -------------------------------------------------------------------------------

    def events_fd(self) -> int:
        """Return a descriptor that becomes readable when there is something to drain."""
        return self._events

    def drain_execs(self, limit: int) -> list[Act]:
        """Return up to `limit` observed acts of any kind, oldest first."""
        found = [self._observed.popleft() for _ in range(min(limit, len(self._observed)))]
        if not self._observed:
            with suppress(BlockingIOError):
                os.eventfd_read(self._events)
        return found

    def drain_acts(self, limit: int) -> list[Observed]:
        """Return nothing: no act of this mode is a record of the kernel side."""
        return []

    def act_of(self, observed: Observed) -> Act:
        """Refuse: none was given out."""
        raise RecordError(f"no such act was given out: {observed!r}")

    def session_of(self, pid: int) -> str | None:
        """Return the session of a process that belongs to a subject, None of any other."""
        label = self._family.of(pid)
        return label.session if label else None

    def act_of_use(self, use: Use) -> Act:
        """Refuse: there are none."""
        raise SensorError(f"nothing passes without a stop here, so not {use.order}")

    def quarantine(self, subjects: Collection[str], *, settled: bool = False) -> bool:
        """Nothing stops anybody by itself here."""
        return False

    def caught(self) -> list[Caught]:
        """Nobody, see quarantine."""
        return []

    def is_caught(self, process: ProcessId) -> bool:
        """Nobody is, see quarantine."""
        return False

    def labelled(self, subject: str) -> list[ProcessId]:
        """Return who belongs to a subject of this name now."""
        return self._family.members(subject)

    def losses(self) -> Losses:
        """Return what was lost so far."""
        return self._losses

    def told(self) -> Losses:
        """Return how much of that is in the record already, whichever agent told it."""
        return self._told_file.read()

    def tell(self, losses: Losses) -> None:
        """Note what is in the record now, until the next boot."""
        self._told_file.write(losses)

    # -- what the reader says -----------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        match frame:
            case Event():
                try:
                    self._on_event(frame)
                except (RecordError, ValueError, IndexError) as error:
                    self._unread(f"event {frame.serial}: {error}")
            case Garbled(why):
                self._unread(why)
            case Missing(count):
                self._lose(events=count)
            case Lost(count):
                if count > self._kernel_lost:
                    self._lose(records=count - self._kernel_lost)
                self._kernel_lost = count
            case Away(why):
                if self.connected:
                    self._absent("no audit records come", why)
                else:
                    log.warning("still no audit records: %s", why)
                self.connected = False
            case Connected(away_s, missed):
                self.connected = True
                if away_s:
                    self._lose(events=missed or 0)
                    known = "how many is not known" if missed is None else f"{missed} events"
                    self._notice(
                        "audit_back",
                        f"audit records come again after {away_s:.1f} s; lost: {known}",
                    )
            case RulesChanged():
                self._mend_rules()

    def _on_event(self, event: Event) -> None:
        call = call_of(event)
        if call is None or event.pid in self._family.but:
            return
        boot_ns = event.time_ns - (time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        process = _process_of(event.pid, boot_ns)
        ids = {event.uid, event.euid} | ({event.login} if event.login is not None else set())
        gids = {event.gid, event.egid}
        if process is not None:
            label = self._family.label(process, ids, gids)
        else:
            label = self._family.label_of_gone(event.pid, event.ppid, ids, gids)
        whose = Whose(process or ProcessId(event.pid, 0), label.subject, label.session)
        act = act_of(event, call, whose, boot_ns=boot_ns)
        # What a link stands for is known once it has been looked at; by then it is too late to
        # stop anybody in time, so the look comes after the stop unless it decides about that.
        wanted = self._wanted.of(act)
        if act.kind is Kind.OPEN and not wanted & STOP and process is not None:
            act = resolved(act, _descriptor(event))
            wanted = self._wanted.of(act)
        if wanted & STOP and not did_nothing(act):
            self._hold(act, _descriptor(event) if act.kind is Kind.OPEN else None)
        elif wanted:
            self._observe(act)

    def _hold(self, act: Act, descriptor: int | None) -> None:
        try:
            self._fresh.append(self._stopper.hold(act, descriptor))
        except (SensorError, ControlError) as error:
            log.error("process %s is killed, as it cannot be held: %s", act.process.pid, error)
            self._lose(holds=1)
            self._stopper.kill(ProcessId.of(act.process))
            self._observe(act)

    def _observe(self, act: Act) -> None:
        if len(self._observed) >= _MOST_WAITING:
            self._lose(events=1)
            return
        self._observed.append(act)
        os.eventfd_write(self._events, 1)

    # -- what goes wrong ----------------------------------------------------------------------

    def _lose(self, *, events: int = 0, holds: int = 0, unread: int = 0, records: int = 0) -> None:
        now = self._losses
        self._losses = replace(
            now,
            events=now.events + events,
            holds=now.holds + holds,
            unread=now.unread + unread,
            records=now.records + records,
        )
        os.eventfd_write(self._events, 1)

    def _unread(self, why: str) -> None:
        log.warning("an audit record cannot be read: %s", why)
        self._lose(unread=1)

    def _absent(self, what: str, why: str) -> None:
        self._losses = replace(self._losses, absences=self._losses.absences + 1)
        os.eventfd_write(self._events, 1)
        self._notice("audit_away", f"{what}: {why}; nobody is held until they come again")

    def _mend_rules(self) -> None:
        """Put rules back that another has removed; it may have been us who changed them."""
        try:
            mended = self._rules.mend()
            if mended:
                self._notice("audit_rules_removed", f"{mended} were gone and are put back")
        except SensorError as error:
            self._absent("audit rules are gone and cannot be put back", str(error))


def _process_of(pid: int, boot_ns: int) -> ProcessId | None:
    """Return the process that had this pid at a time, None if it is gone."""
    found = procfs.stat(pid)
    if found is None or found.state in "ZX":
        return None
    start_ns = found.start_ticks * procfs.TICK_NS
    return ProcessId(pid, start_ns) if start_ns <= boot_ns + _SLACK_NS else None


def _descriptor(event: Event) -> int | None:
    return event.exit if event.ok and event.exit is not None and event.exit >= 0 else None

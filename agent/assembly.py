"""Puts a configured agent together around a sensor. Says what is made in which order."""

import asyncio
import fcntl
import logging
import os
import resource
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agent import emergency, redaction
from agent import identity as identities
from agent.clock import Alarm, BootAlarm, SystemClock, boot_id
from agent.config import AgentConfig
from agent.errors import AgentError
from agent.freezer import Freezer
from agent.holds.intake import Host
from agent.holds.keeper import Keeper
from agent.holds.settler import Parts
from agent.identity import HostIdentity
from agent.journal import Journal
from agent.processes import ProcessControl
from agent.report import EventReport
from agent.rulings import Ruled
from agent.sensor.interface import Sensor, Subject
from agent.sensor.labels import cgroup_mount
from agent.subjects import resolve
from agent.transport.link import Link
from agent.transport.outbox import Outbox
from agent.transport.sender import EventSender
from agent.transport.spool import Spool
from agent.why.claims import Claims
from agent.why.denials import Denials
from agent.why.server import prepare
from rules.modes import HostMode
from wire.acts import Act
from wire.redaction.logs import redact_logs
from wire.redaction.redactor import Redactor
from wire.signing import Verifier

log = logging.getLogger("holdfast.agent")

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What holds need to be kept, with or without a connection to the centre."""

    boot_id: str
    subjects: tuple[Subject, ...]
    clock: SystemClock
    journal: Journal
    spool: Spool
    link: Link
    sender: EventSender
    outbox: Outbox
    report: EventReport
    keeper: Keeper
    claims: Claims
    denials: Denials
    redactor: Redactor


@contextmanager
def only_one(config: AgentConfig) -> Iterator[None]:
    """Hold the lock that a living agent holds; raise AgentError if another does."""
    try:
        config.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        config.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        for directory in (config.state, config.run):
            directory.chmod(0o700)
        descriptor = os.open(config.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AgentError(f"{config.lock}: cannot be opened: {error.strerror}; run as root") from (
            error
        )
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AgentError(
                f"{config.lock}: an agent runs here already; stop it first "
                "(systemctl stop holdfast-agent)"
            ) from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def core(
    config: AgentConfig, sensor: Sensor, judge: Callable[[Act], Ruled], *, started: bool
) -> Iterator[Core]:
    """Open everything but the network; close it at the end. Call within `only_one`.

    Without `started` the sensor is only asked for its held map, which needs no start. Nobody is
    watched then, so a user who no longer exists is no hindrance.
    """
    who = identities.load(config.identity) if started else emergency.identity(config)
    subjects = resolve(config.subjects, place=str(config.place)) if started else ()
    _many_files()
    redactor = redaction.redactor(config.redaction, config.state)
    redact_logs(redactor)
    loop = asyncio.get_running_loop()
    clock = SystemClock()
    with (
        _one_after_another() as mover,
        closing(Journal(config.state / "journal.db", who.host)) as journal,
    ):
        limit = config.spool_limit_mib * _MIB
        spool_path = config.state / "events.db"
        with closing(Spool(spool_path, who.host, limit_bytes=limit)) as spool:
            link = Link(who)
            sender = EventSender(spool, link, who.host, clock)
            outbox = Outbox(journal, link)
            report = EventReport(sender, clock, redactor)
            if spool.moved is not None:
                report.notice("spool_damaged", f"put aside as {spool.moved}; its events are lost")
            boot = boot_id()

            # Named like the pins, so that two agents on one host keep apart.
            # In gate mode the kernel side itself lets nobody run on who is held.
            gated = sensor.mode == HostMode.GATE
            mount = None if gated else cgroup_mount()
            freezer = Freezer(mount, config.bpffs.name, mover)
            freezer.on_failure = _told_once(loop, report)
            freezer.sweep()
            if mount is None and not gated:
                report.notice("not_frozen", "no cgroup v2 is mounted; what is held is only stopped")

            def alarm(call: Callable[[], None]) -> Alarm:
                return BootAlarm(loop, call)

            claims = Claims(redactor.text)
            denials = Denials(_denials(config, report) if started else None)
            parts = Parts(
                host=_host(who, config, boot, refuses=gated),
                sensor=sensor,
                fresh=sensor.new_holds if started else sensor.all_holds,
                journal=journal,
                control=ProcessControl(loop, freezer),
                judge=judge,
                verifier=Verifier(who.centre_keys),
                report=report,
                clock=clock,
                said=outbox.wake,
                claims=claims,
                denials=denials,
                redactor=redactor,
            )
            keeper = Keeper(parts, alarm)
            try:
                yield Core(
                    boot_id=boot,
                    subjects=subjects,
                    clock=clock,
                    journal=journal,
                    spool=spool,
                    link=link,
                    sender=sender,
                    outbox=outbox,
                    report=report,
                    keeper=keeper,
                    claims=claims,
                    denials=denials,
                    redactor=redactor,
                )
            finally:
                keeper.close()


def _denials(config: AgentConfig, report: EventReport) -> Path | None:
    """Return where denials are written; None, which is told, if that cannot be made."""
    try:
        return prepare(config.why)
    except AgentError as error:
        # Whoever cannot say why is held all the same.
        report.notice("why_unavailable", str(error))
        return None


def _host(who: HostIdentity, config: AgentConfig, boot: str, *, refuses: bool) -> Host:
    responsible = {subject.name: subject.responsible for subject in config.subjects}
    return Host(
        id=who.host,
        name=who.name,
        boot_id=boot,
        responsible=responsible,
        holds_per_session=config.holds_per_session,
        refuses=refuses,
        holds_per_subject=config.holds_per_subject,
        denials_per_minute=config.denials_per_minute,
    )


@contextmanager
def _one_after_another() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Have a thread that does jobs in their order; at the end all of them are done."""

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except Exception:  # top of the thread's loop over jobs
            log.exception("a process could not be moved between cgroups")

    with ThreadPoolExecutor(1, "freezer") as worker:

        def run(job: Callable[[], None]) -> None:
            worker.submit(guarded, job)

        yield run


def _told_once(loop: asyncio.AbstractEventLoop, report: EventReport) -> Callable[[str], None]:
    """Return what tells, from any thread, that a process could not be frozen: the first time."""
    told = False

    def tell(words: str) -> None:
        nonlocal told
        if not told:
            told = True
            with suppress(RuntimeError):  # the loop has ended, and with it who would be told
                loop.call_soon_threadsafe(report.notice, "not_frozen", words)

    return tell


def _many_files() -> None:
    """Each process with a hold is an open descriptor, so take as many as root gives."""
    with suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

"""The running agent: sensor, holds and transport on one event loop, until it is told to stop."""

import asyncio
import logging
import os
import platform
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, Protocol

from agent import identity as identities
from agent.assembly import Core, core, only_one
from agent.audit.leftover import LeftRules
from agent.config import AgentConfig, responsible_words
from agent.control import ControlServer
from agent.errors import AgentError
from agent.peers import watched
from agent.rulings import RuleBook
from agent.sensor.interface import Sensor, Telling
from agent.tasks import end
from agent.transport.announcer import Announcer
from agent.transport.inbox import Inbox
from agent.transport.sender import EventSender
from agent.why.server import WhyServer
from rules.modes import HostMode
from wire import subjects
from wire.messages import HostRecord
from wire.redaction.redactor import Redactor
from wire.release import installed_version

log = logging.getLogger("holdfast.agent")

_AGAIN_S = 1.0
_BEAT_S = 1.0
_UNLOAD_S = 15.0


class Events(Protocol):
    """What turns the sensor's observed acts into rows."""

    def start(self) -> None:
        """Begin to read."""

    def close(self) -> None:
        """Stop reading, after what is there has been read."""


MakeEvents = Callable[[Sensor, RuleBook, EventSender, Redactor], Events]


class Daemon:
    """One agent. `mode` is what the sensor can promise: gate, stop or audit."""

    def __init__(
        self,
        config: AgentConfig,
        sensor: Sensor,
        *,
        mode: str,
        make_events: MakeEvents | None = None,
        unload_on_exit: bool = False,
    ) -> None:
        self._config = config
        self._sensor = sensor
        self._mode = mode
        self._make_events = make_events
        self._unload_on_exit = unload_on_exit
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Make `run` return. What is held stays held."""
        self._stop.set()

    async def run(self, ready: Callable[[str], None]) -> None:
        """Work until `stop`; call `ready` with one line once acts are held and answers obeyed."""
        who = identities.load(self._config.identity)
        book = RuleBook(self._config.rules, self._config.names, HostMode(self._mode))
        with (
            only_one(self._config),
            core(
                self._config,
                self._sensor,
                lambda act: book.decide(act, fresh=True),
                started=True,
            ) as parts,
        ):
            # A signal during the start, which may take seconds, must end in a clean stop too.
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self.stop)
            self._start_sensor(parts, book)
            self._tell_nobodys(parts)
            tell_without_effect(parts, book)
            announcer = Announcer(parts.link, self._record(who.host, who.name, parts, book))
            holds = parts.keeper.start()
            parts.keeper.warden.start()
            events = (
                self._make_events(self._sensor, book, parts.sender, parts.redactor)
                if self._make_events
                else None
            )
            control = ControlServer(
                self._config.socket,
                self._handlers(parts, book, announcer),
                is_watched=watched(
                    parts.subjects, lambda: {hold.process.pid for hold in parts.keeper.holds()}
                ),
            )
            await control.start()
            why = self._serve_why(parts)
            self._reload_on_hangup(parts, book, announcer)
            self._watch_holds(parts)
            if events is not None:
                events.start()
            try:
                ready(f"ready host={who.host} mode={self._mode} holds={holds}")
                await self._work(parts, announcer)
            finally:
                asyncio.get_running_loop().remove_reader(self._sensor.holds_fd())
                if events is not None:
                    events.close()
                await why.close()
                await control.close()
                self._sensor.close()

    def _serve_why(self, parts: Core) -> WhyServer:
        server = WhyServer(
            self._config.why,
            parts.claims,
            parts.denials,
            find=self._sensor.session_of,
            now_ns=parts.clock.now_ns,
        )
        try:
            server.start()
        except AgentError as error:
            # Whoever cannot say why is held all the same.
            log.warning("nobody can say why: %s", error)
            parts.report.notice("why_unavailable", str(error))
        return server

    def _tell_nobodys(self, parts: Core) -> None:
        for name in self._config.nobodys:
            log.warning("%s", responsible_words(name))
            parts.report.notice("nobody_responsible", responsible_words(name))

    def _start_sensor(self, parts: Core, book: RuleBook) -> None:
        if isinstance(self._sensor, Telling):
            self._sensor.tell_through(parts.report.notice)
        try:
            journalled = {hold.key for hold in parts.journal.unfinished()}
            self._sensor.start(parts.subjects, book.tables, journalled)
            if self._mode != HostMode.AUDIT:
                self._take_out_audit_rules(parts)
        except AgentError:
            if self._unload_on_exit and not self._sensor.all_holds():
                self._sensor.unload()
            raise

    def _take_out_audit_rules(self, parts: Core) -> None:
        """Of an agent that was in audit mode and was killed: nobody hears what they report."""
        try:
            count = LeftRules(self._config.audit_left).take_out()
        except AgentError as error:
            words = f"rules of an earlier agent in mode audit stay in the kernel: {error}"
            parts.report.notice("audit_rules_left", words)
            return
        if count:
            parts.report.notice(
                "audit_rules_left",
                f"{count} rules of an earlier agent in mode audit were taken out of the kernel",
            )

    async def _work(self, parts: Core, announcer: Announcer) -> None:
        inbox = Inbox(parts.link, parts.keeper.on_verdict)
        orders = Inbox(parts.link, parts.keeper.on_order, stream=subjects.ORDERS)
        tasks = [
            asyncio.create_task(job, name=name)
            for name, job in (
                ("link", parts.link.run()),
                ("outbox", parts.outbox.run()),
                ("sender", parts.sender.run()),
                ("inbox", inbox.run()),
                ("orders", orders.run()),
                ("announcer", announcer.run()),
                ("heartbeat", self._beat()),
                ("stop", self._stop.wait()),
            )
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a task that fails ends the agent; the holds stay held
            if self._unload_on_exit:
                await self._unload(parts)
        finally:
            await end(tasks)

    async def _beat(self) -> None:
        while True:
            self._sensor.beat()
            await asyncio.sleep(_BEAT_S)

    async def _unload(self, parts: Core) -> None:
        """Leave nothing of ours behind: kill what is held, say so, take the kernel side out."""
        by = "holdfast-agent run --unload-on-exit"
        self._sensor.detach()  # first, or what is held after the last look has nobody
        try:
            async with asyncio.timeout(_UNLOAD_S):
                await parts.keeper.end_all("the agent was stopped and unloaded", by)
        except TimeoutError as error:
            raise AgentError(
                f"what is held did not end within {_UNLOAD_S:.0f} s; nothing was unloaded. Run: "
                "holdfast-agent unload --force"
            ) from error
        self._sensor.unload()
        # A centre that cannot be reached is told at the next start.
        with suppress(asyncio.TimeoutError):
            async with asyncio.timeout(_UNLOAD_S if parts.link.connected else 0):
                await parts.outbox.empty()

    def _watch_holds(self, parts: Core) -> None:
        loop, descriptor = asyncio.get_running_loop(), self._sensor.holds_fd()

        def on_holds() -> None:
            try:
                parts.keeper.on_holds()
            except Exception:  # top of the loop; what is held stays held
                log.exception("holds cannot be read; tried again")
                loop.remove_reader(descriptor)
                loop.call_later(_AGAIN_S, again)

        def again() -> None:
            if not self._stop.is_set():
                loop.add_reader(descriptor, on_holds)
                on_holds()

        loop.add_reader(descriptor, on_holds)
        # What came between the take-up and the reader.
        on_holds()

    def _reload_on_hangup(self, parts: Core, book: RuleBook, announcer: Announcer) -> None:
        loop = asyncio.get_running_loop()

        def reload() -> None:
            with suppress(AgentError):  # logged and recorded where it happened
                self._reload(parts, book, announcer)

        loop.add_signal_handler(signal.SIGHUP, reload)

    def _handlers(
        self, parts: Core, book: RuleBook, announcer: Announcer
    ) -> Mapping[str, Callable[[Mapping[str, Any], str], Mapping[str, Any]]]:
        def release_all(request: Mapping[str, Any], by: str) -> Mapping[str, Any]:
            reason = request.get("reason")
            if not isinstance(reason, str) or not reason.strip():
                raise AgentError("a release of everything needs a reason; give --reason TEXT")
            return {"released": parts.keeper.release_all(reason.strip(), by)}

        return {
            "status": lambda _request, _by: self._status(parts, announcer),
            "release_all": release_all,
            "reload": lambda _request, _by: self._reload(parts, book, announcer),
        }

    def _reload(self, parts: Core, book: RuleBook, announcer: Announcer) -> Mapping[str, Any]:
        try:
            rules = book.reload(self._sensor.set_tables)
        except AgentError as error:
            parts.report.notice("rules_refused", f"the old rules stay in force: {error}")
            raise
        announcer.change(
            replace(announcer.record, ruleset=rules.digest, without_effect=book.powerless())
        )
        tell_without_effect(parts, book)
        parts.report.notice("rules_loaded", f"{len(rules.rules)} rules, {rules.digest}")
        parts.keeper.on_rules()
        return {"rules": len(rules.rules), "ruleset": rules.digest}

    def _record(self, host: Any, name: str, parts: Core, book: RuleBook) -> HostRecord:
        return HostRecord(
            host=host,
            name=name,
            mode=self._mode,
            kernel=platform.release(),
            version=installed_version(),
            boot_id=parts.boot_id,
            subjects=tuple(subject.name for subject in parts.subjects),
            ruleset=book.digest,
            started_ns=parts.clock.now_ns(),
            responsible={
                subject.name: subject.responsible
                for subject in self._config.subjects
                if subject.responsible
            },
            without_effect=book.powerless(),
        )

    def _status(self, parts: Core, announcer: Announcer) -> Mapping[str, Any]:
        record, losses = announcer.record, self._sensor.losses()
        boot_ns = parts.clock.boot_ns()
        return {
            "host": record.host,
            "name": record.name,
            "mode": record.mode,
            "ruleset": record.ruleset,
            "version": record.version,
            "pid": os.getpid(),
            "connected": parts.link.connected,
            "unpublished_hold_messages": parts.journal.unpublished(),
            "unsent_events": parts.sender.waiting,
            "lost": asdict(losses),
            "denied_again": parts.keeper.denied_again(),
            "without_effect": list(record.without_effect),
            "nobody_responsible": list(self._config.nobodys),
            "not_taken_up": len(parts.keeper.stuck()),
            "quarantined": {
                "subjects": [one.subject for one in parts.journal.orders.quarantines()],
                "processes": len(parts.keeper.warden.alive()),
            },
            "grants": len(parts.journal.orders.grants(parts.boot_id)),
            "holds": [
                {
                    "hold": hold.id,
                    "pid": hold.process.pid,
                    "state": hold.state.value,
                    "rule": hold.rule,
                    "seconds_left": (hold.deadline_boot_ns - boot_ns) // 1_000_000_000
                    if hold.deadline_boot_ns and hold.waiting
                    else None,
                }
                for hold in parts.keeper.holds()
            ],
        }


def tell_without_effect(parts: Core, book: RuleBook) -> None:
    """Say which rules the mode of this host cannot put into effect."""
    for line in book.without_effect():
        parts.report.notice("without_effect", line)


def tell_systemd(state: str) -> None:
    """Tell the service manager a state such as READY=1, if there is one that listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(state.encode(), address)

"""A real agent in a process of its own that dies by SIGKILL at a step that a test names.

Steps are the places where something becomes lasting or leaves the process: each side of a commit,
a signal, an entry's removal, a publish and an acknowledgement. The hooks are put in here, in the
forked process; the product has none. The kernel side is made of files (see file_sensor).
"""

import asyncio
import ctypes
import logging
import os
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

import agent.journal
import agent.orders.store
import agent.transport.spool
from agent import config
from agent.daemon import Daemon
from agent.freezer import Freezer
from agent.holds.model import Step, Voice
from agent.journal import Journal
from agent.orders.store import OrderStore
from agent.processes import ProcessControl
from agent.release import ProcessId
from agent.rows import Columns, events_in, to_columns
from agent.rulings import RuleBook, Ruled
from agent.sensor.interface import HeldKey, Sensor
from agent.transport.inbox import Inbox
from agent.transport.link import Link
from agent.transport.sender import EventSender
from agent.transport.spool import Spool
from agent.transport.verdicts import Incoming
from tests.support.actors import Actor
from tests.support.file_sensor import FileSensor
from wire import codec, subjects
from wire.acts import Act
from wire.ids import MessageId
from wire.messages import EventBatch, HoldOpened, HoldState, Message, Verdict
from wire.redaction.redactor import Redactor

WAIT_S = 60
_LAST_S = 0.5
SHORT = "faults.short"
_SHORT_NS = 300_000_000
_CLONE_NEWNET = 0x40000000
_SIDES = ("before", "after")
# What the journal or a message says of a hold.
_TOLD = ("opening", "approved", "released", "denied", "killed", "expired", "cancelled")
_JOURNALLED = (*_TOLD, "let pass", "passed", "acknowledged")
_SPOOLED = ("add", "seal", "sent")
# Every step there is; a test that does not come to one of them has met a hook that is gone.
STEPS = (
    *(f"journal {side}: {what}" for what in _JOURNALLED for side in ("written", "committed")),
    *(f"spool {side}: {what}" for what in _SPOOLED for side in ("written", "committed")),
    *(f"{side} {name}" for name in ("freeze", "SIGCONT", "thaw", "SIGKILL") for side in _SIDES),
    *(f"{side} forget" for side in _SIDES),
    *(f"{side} publish: {what}" for what in (*_TOLD, "events") for side in _SIDES),
    *(f"verdict {what}" for what in ("received", "settled", "acknowledged")),
)
_ARRIVAL = (
    "order received",
    "orders written: order",
    "orders committed: order",
    "order settled",
    "order acknowledged",
)
# Where a grant comes in, and where it is used.
GRANT_STEPS = _ARRIVAL
USE_STEPS = ("journal written: granted", "journal committed: granted")
# Where a quarantine comes in and takes hold, and where its end does.
QUARANTINE_STEPS = (
    *_ARRIVAL,
    *(f"journal {side}: superseded" for side in ("written", "committed")),
    *(f"orders {side}: stopping" for side in ("written", "committed")),
    *(f"{side} publish: superseded" for side in _SIDES),
)
LIFT_STEPS = (*_ARRIVAL, *(f"orders {side}: let go" for side in ("written", "committed")))

ANY = "any step"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the process runs on. `namespace` is a network namespace by name, empty for ours."""

    config: Path
    held: Path
    log: Path
    namespace: str = ""


class MortalAgent:
    """The test's end of one run of the agent."""

    def __init__(self, setup: Setup, *, die_at: str = "", count: int = 0) -> None:
        """Start it; with `die_at` it kills itself when it comes to that step the `count`th time."""
        self._pipe, theirs = Pipe()
        self._process = _CONTEXT.Process(target=_run, args=(setup, theirs, die_at, count))
        self._process.start()
        theirs.close()
        self.pid = self._process.pid or 0
        self._setup = setup

    def ready(self) -> bool:
        """Wait until it holds and obeys; False if it has died before."""
        try:
            return bool(self._hear() == "ready")
        except EOFError:
            self.died()
            return False

    def arm(self, die_at: str, count: int) -> None:
        """Have it die at a step, the `count`th time from now."""
        self._ask("arm", die_at, count)

    def steps(self) -> Counter[str]:
        """Return how often it came to each step."""
        return Counter(dict(self._ask("steps")))

    def events(self, first: int, count: int, size: int) -> None:
        """Have it observe `count` acts, numbered from `first`, of about `size` bytes each."""
        self._ask("events", first, count, size)

    def generated(self) -> int:
        """Return how many events were handed to the spool in this run, of whatever kind."""
        return int(self._ask("generated"))

    def dead(self) -> bool:
        """Return whether it has died."""
        return not self._process.is_alive()

    def dies_before_the_end_of(self, actors: Sequence[Actor]) -> bool:
        """Wait until it has died, or all of these have ended and it has had time to record that."""
        ends = {os.pidfd_open(actor.pid): actor for actor in actors if not actor.ended}
        try:
            waiting = set(ends)
            while waiting:
                found = wait([self._process.sentinel, *waiting], WAIT_S)
                assert found, f"neither agent nor processes end:\n{self._setup.log.read_text()}"
                if self._process.sentinel in found:
                    break
                waiting -= set(found)
            else:
                wait([self._process.sentinel], _LAST_S)
        finally:
            for descriptor in ends:
                os.close(descriptor)
        if self._process.exitcode is None:
            return False
        self.died()
        return True

    def died(self) -> None:
        """Wait for its end, which must be a SIGKILL."""
        self._end()
        assert self._process.exitcode == -signal.SIGKILL, self._setup.log.read_text()

    def kill(self) -> None:
        """Kill it, as kill -9 does."""
        self._process.kill()
        self._end()

    def stop(self) -> None:
        """Stop it as systemd would."""
        if self._process.is_alive():
            self._process.terminate()
        self._end()

    def _end(self) -> None:
        self._process.join(WAIT_S)
        assert not self._process.is_alive(), "the agent does not end"
        self._pipe.close()

    def _ask(self, *words: object) -> Any:
        self._pipe.send(words)
        return self._hear()

    def _hear(self) -> Any:
        assert self._pipe.poll(WAIT_S), f"the agent is silent:\n{self._setup.log.read_text()}"
        return self._pipe.recv()


# -- what runs in the process ---------------------------------------------------------------------


class _Fate:
    """Counts steps and ends the process at the one that was named."""

    def __init__(self, die_at: str, count: int) -> None:
        self.seen: Counter[str] = Counter()
        self._die_at, self._left = die_at, count

    def arm(self, die_at: str, count: int) -> None:
        self._die_at, self._left = die_at, count

    def step(self, name: str) -> None:
        self.seen[name] += 1
        if self._die_at in (name, ANY):
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class _Commands:
    """Obeys the test, in the place of the pipeline of observed acts."""

    def __init__(self, pipe: Connection, fate: _Fate, sender: EventSender) -> None:
        self._pipe, self._fate, self._sender = pipe, fate, sender

    def start(self) -> None:
        """Begin to obey."""
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._obey)

    def close(self) -> None:
        """Stop obeying."""
        asyncio.get_running_loop().remove_reader(self._pipe.fileno())

    def _obey(self) -> None:
        try:
            name, *words = self._pipe.recv()
        except EOFError:  # the test is gone
            os.kill(os.getpid(), signal.SIGKILL)
        answer: object = None
        match name:
            case "arm":
                self._fate.arm(*words)
            case "steps":
                answer = dict(self._fate.seen)
            case "events":
                first, count, size = words
                self._sender.add(_observed(first, count, size), count)
            case "generated":
                answer = _generated
        self._pipe.send(answer)


_generated = 0


def _observed(first: int, count: int, size: int) -> Columns:
    """Return acts whose `tid` is their number and whose path has `size` bytes."""
    now_ns = time.time_ns()
    return to_columns(
        [
            {"time_ns": now_ns, "kind": "open", "tid": number, "count": 1, "path": "/" + "x" * size}
            for number in range(first, first + count)
        ]
    )


def _run(setup: Setup, pipe: Connection, die_at: str, count: int) -> None:
    log = os.open(setup.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, force=True)
    if setup.namespace:
        _enter(setup.namespace)
    fate = _Fate(die_at, count)
    _hook(fate.step)

    def commands(_: Sensor, __: RuleBook, sender: EventSender, ___: Redactor) -> _Commands:
        return _Commands(pipe, fate, sender)

    daemon = Daemon(
        config.load(setup.config), FileSensor(setup.held), mode="stop", make_events=commands
    )
    asyncio.run(daemon.run(lambda _: pipe.send("ready")))


def _enter(namespace: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {namespace}")
    os.close(descriptor)


def _hook(step: Callable[[str], None]) -> None:
    _hook_disk(step)
    _hook_signals(step)
    _hook_wire(step)
    decide = RuleBook.decide

    def hasty(self: RuleBook, act: Act, *, fresh: bool = False) -> Ruled:
        # A rule's shortest wait is a second, and there are many steps to die at.
        ruled = decide(self, act, fresh=fresh)
        short = ruled.rule is not None and ruled.rule.id == SHORT
        return replace(ruled, timeout_ns=_SHORT_NS) if short else ruled

    RuleBook.decide = hasty  # type: ignore[method-assign]


def _hook_disk(step: Callable[[str], None]) -> None:
    what = ["start"]  # of the transaction that is under way; one thread, so one at a time

    def naming(owner: type, method: str, name: Callable[..., str]) -> None:
        original = getattr(owner, method)

        def named(self: object, *arguments: Any) -> Any:
            what[0] = name(*arguments)
            return original(self, *arguments)

        setattr(owner, method, named)

    naming(Journal, "record", lambda recorded, _: _told(recorded))
    naming(Journal, "published", lambda _: "acknowledged")
    naming(Journal, "prune", lambda _: "start")
    naming(OrderStore, "take", lambda *_: "order")
    naming(OrderStore, "stopping", lambda *_: "stopping")
    naming(OrderStore, "forget", lambda *_: "let go")
    naming(OrderStore, "prune", lambda _: "start")
    naming(Spool, "add", lambda *_: "add")
    naming(Spool, "next", lambda: "seal")
    naming(Spool, "sent", lambda _: "sent")
    for module, file in (
        (agent.journal, "journal"),
        (agent.orders.store, "orders"),
        (agent.transport.spool, "spool"),
    ):
        module.transaction = _around(module.transaction, file, what, step)  # type: ignore[attr-defined]
    add = EventSender.add

    def counted(self: EventSender, columns: Columns, count: int) -> None:
        global _generated
        _generated += events_in(columns)
        add(self, columns, count)

    EventSender.add = counted  # type: ignore[method-assign]


def _told(recorded: Step) -> str:
    """Return what a step of the machine is about."""
    opened = next((say for say in recorded.says if isinstance(say, HoldOpened)), None)
    if opened is not None:
        return "opening" if opened.grant is None else "granted"
    hold = recorded.holds[0]
    if hold.voice is Voice.QUIET:
        return "passed" if hold.finished else "let pass"
    return hold.state.value


def _around(transaction: Any, file: str, what: list[str], step: Callable[[str], None]) -> Any:
    @contextmanager
    def around(
        connection: sqlite3.Connection, place: Path, *, durable: bool = True
    ) -> Iterator[None]:
        name = what[0]
        with transaction(connection, place, durable=durable):
            yield
            step(f"{file} written: {name}")
        step(f"{file} committed: {name}")

    return around


def _hook_signals(step: Callable[[str], None]) -> None:
    send, forget = ProcessControl._send, FileSensor.forget

    def sent(self: ProcessControl, process: ProcessId, number: signal.Signals) -> bool:
        step(f"before {number.name}")
        done = send(self, process, number)
        step(f"after {number.name}")
        return done

    freeze, thaw = Freezer.freeze, Freezer.thaw

    def frozen(self: Freezer, process: ProcessId) -> bool:
        step("before freeze")
        done = freeze(self, process)
        step("after freeze")
        return done

    def thawed(self: Freezer, process: ProcessId) -> None:
        step("before thaw")
        thaw(self, process)
        step("after thaw")

    Freezer.freeze = frozen  # type: ignore[method-assign]
    Freezer.thaw = thawed  # type: ignore[method-assign]

    def forgotten(self: FileSensor, key: HeldKey) -> None:
        step("before forget")
        forget(self, key)
        step("after forget")

    ProcessControl._send = sent  # type: ignore[method-assign]
    FileSensor.forget = forgotten  # type: ignore[method-assign, assignment]


def _hook_wire(step: Callable[[str], None]) -> None:
    publish, done, init = Link.publish, Incoming.done, Inbox.__init__

    async def published(
        self: Link, subject: str, data: bytes, message_id: MessageId | None
    ) -> bool:
        what = _what(codec.decode(data))
        if what:
            step(f"before publish: {what}")
        known = await publish(self, subject, data, message_id)
        if what:
            step(f"after publish: {what}")
        return known

    async def finished(self: Incoming) -> None:
        what = "verdict" if isinstance(codec.decode(self.data), Verdict) else "order"
        step(f"{what} settled")
        await done(self)
        step(f"{what} acknowledged")

    def with_steps(
        self: Inbox,
        link: Link,
        on_message: Callable[[bytes, dict[str, str] | None], None],
        *,
        stream: str = subjects.VERDICTS,
    ) -> None:
        what = "verdict" if stream == subjects.VERDICTS else "order"

        def received(data: bytes, headers: dict[str, str] | None) -> None:
            step(f"{what} received")
            on_message(data, headers)

        init(self, link, received, stream=stream)

    Link.publish = published  # type: ignore[method-assign]
    Incoming.done = finished  # type: ignore[method-assign]
    Inbox.__init__ = with_steps  # type: ignore[method-assign]


def _what(message: Message) -> str:
    match message:
        case HoldOpened():
            return "opening"
        case HoldState():
            return message.state.value
        case EventBatch():
            return "events"
    return ""


# Forked from a process that has imported all of this already, so a run starts at once; and not
# from pytest's, which has threads.
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def end_forkserver() -> None:
    """End the process that runs are forked from."""
    from multiprocessing import forkserver, resource_tracker

    with suppress(AttributeError):
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
        resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]

"""A host with the agent's own machine, checker and desk, and a journal that outlives restarts."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from agent.clock import Clock
from agent.holds.intake import quarantined
from agent.holds.machine import Machine
from agent.holds.model import Doom, Hold, Pass, Step, Voice, Why
from agent.holds.settler import Parts, Settler
from agent.orders.desk import Desk
from agent.orders.programs import Program
from agent.orders.store import SCHEMA, OrderStore
from agent.release import KillOrder, ProcessId, Release
from agent.rulings import Ruled
from agent.sensor.permits import NoPermits
from agent.verdicts import Checker, Late, Obey, Refused, Repeated
from tests.support.holds import hold_of
from tests.support.orders import PROGRAM
from tests.unit.collector.samples import make_act, make_opened
from wire.acts import act_digest
from wire.ids import HoldId, HostId, VerdictId
from wire.messages import Ground, HoldOpened, HoldState, KillScope, OnTimeout
from wire.signing import Verifier

HOST = HostId("a" * 32)
SUBJECT = "ai-agents"
_BOOT = "boot-1"


class _NoWarden:
    """Processes are stopped by their holds alone here."""

    def look(self) -> None:
        """Nobody runs beside."""


class ModelHost(Clock):
    """Holds acts, obeys verdicts and orders, and tells `says` in the order in which it spoke.

    `wall_ns` is its own idea of the time, which may be wrong.
    """

    def __init__(self, trusted: frozenset[str], wall_ns: int) -> None:
        self._boot_ns = 1
        self.wall_ns = wall_ns
        self.says: list[HoldOpened | HoldState] = []
        self.released: dict[HoldId, Release] = {}
        self.killed: set[HoldId] = set()
        self.journal: dict[HoldId, Hold] = {}
        self.opened: dict[HoldId, HoldOpened] = {}
        self.passed_ns: dict[HoldId, int] = {}  # when, by its boot clock, each was let pass
        self.allowed: set[HoldId] = set()  # by a newer rule
        self.denied: set[HoldId] = set()  # by a newer rule, or a quarantine
        self._used: dict[VerdictId, HoldId] = {}
        self._verifier = Verifier(trusted)
        database = sqlite3.connect(":memory:", isolation_level=None)
        database.executescript(SCHEMA)
        self.orders = OrderStore(database, Path("orders"))
        self._checker = Checker(
            host=HOST,
            boot_id=_BOOT,
            verifier=self._verifier,
            find=self.journal.get,
            used=self._used.get,
        )
        self.restart()

    def boot_ns(self) -> int:
        """Return its boot clock."""
        return self._boot_ns

    def now_ns(self) -> int:
        """Return its wall clock."""
        return self.wall_ns

    def restart(self) -> None:
        """Begin anew with what the journal has."""
        self.machine = Machine(HOST)
        self.machine.accept(Step(holds=tuple(h for h in self.journal.values() if not h.finished)))
        parts = SimpleNamespace(
            host=SimpleNamespace(id=HOST, boot_id=_BOOT),
            journal=SimpleNamespace(orders=self.orders, opened=self.opened.get),
            verifier=self._verifier,
            programs=SimpleNamespace(look=lambda act: Program(PROGRAM)),
            clock=self,
            sensor=SimpleNamespace(permits=NoPermits()),
            judge=lambda act: Ruled(action=None, rule=None),
            control=None,
            report=SimpleNamespace(notice=lambda name, words: None),
        )
        settler = SimpleNamespace(commit=self._do, due=lambda one: None, settle=lambda: None)
        self._desk = Desk(cast("Parts", parts), self.machine, cast("Settler", settler))
        self._desk.warden = _NoWarden()  # type: ignore[assignment]

    def hold(
        self, *, pid: int, what: str, owner: str, login_user: str, life_ns: int,
        on_timeout: OnTimeout,
    ) -> HoldOpened | None:  # fmt: skip
        """Stop an act of a process, and ask; None if nobody is. `life_ns` 0: without a deadline."""
        number = len(self.journal) + 1
        act = make_act(
            login_user=login_user,
            login_uid=1000 if login_user else None,
            argv=("curl", what),
            inode=5,
            environment={},
            boot_ns=self._boot_ns + number,
            time_ns=self.wall_ns,
        )
        deadline = self._boot_ns + life_ns if life_ns else 0
        hold = hold_of(
            ProcessId(pid, 1),
            number,
            voice=Voice.ASKED,
            digest=act_digest(act),
            deadline_boot_ns=deadline,
            on_timeout=on_timeout if life_ns else OnTimeout.KEEP,
        )
        opened = make_opened(
            act,
            hold=hold.id,
            host=HOST,
            boot_id=_BOOT,
            opened_ns=self.wall_ns,
            deadline_boot_ns=deadline,
            deadline_ns=self.wall_ns + life_ns if life_ns else 0,
            owner=owner,
        )
        quarantine = self._desk.quarantine_of(SUBJECT)
        if quarantine is not None:
            self._do(self.machine.plan_open(quarantined(hold, quarantine), None, 1))
            return None
        opened, grant = self._desk.judge(opened, act)
        self.opened[hold.id] = opened
        if grant is not None:
            self._do(self.machine.plan_granted(hold, opened, grant, 1))
        else:
            self._do(self.machine.plan_open(hold, opened, 1))
        return opened

    def hear(self, data: bytes, headers: dict[str, str]) -> Obey | Late | Repeated | Refused:
        """Take a message of the verdict stream, as the keeper does."""
        self.pass_time(0)
        outcome = self._checker.check(data, headers, self._boot_ns)
        match outcome:
            case Obey(verdict):
                self._do(self.machine.plan_answer(verdict, 1))
            case Late(verdict, hold):
                self._do(self.machine.plan_late(hold, verdict, 1))
        return outcome

    def hear_order(self, data: bytes, headers: dict[str, str]) -> None:
        """Take a message of the stream of orders, as the keeper does."""
        self.pass_time(0)
        self._desk.on_order(data, headers)

    def rules_change(self, hold: Hold, *, allow: bool) -> None:
        """A newer rule allows or denies what waits."""
        why = Why(ground=Ground.RULE, reason="newer")
        fate = Pass(why) if allow else Doom(why, KillScope.PROCESS)
        (self.allowed if allow else self.denied).add(hold.id)
        self._do(self.machine.plan_ruled(hold, fate, "a newer rule", 1))

    def pass_time(self, ns: int) -> None:
        """Let its clocks run, and end what nobody has answered."""
        self._boot_ns += ns
        self.wall_ns += ns
        self._do(self.machine.plan_expire(self._boot_ns, 1))

    def settle(self) -> None:
        """Do with every process what its holds add up to."""
        for process in self.machine.processes():
            order = self.machine.order(process)
            if isinstance(order, Release):
                mine = {hold.id for hold in self.machine.of(process)}
                assert set(order.grounds) == mine, "every hold of it says why"
                for hold in order.grounds:
                    assert hold not in self.released, "a process is let go once"
                    self.released[hold] = order
                self._do(self.machine.plan_resumed(order, 1))
            elif isinstance(order, KillOrder):
                self.killed |= {hold.id for hold in self.machine.of(process)}
                self._do(self.machine.plan_gone(process, 1))

    def dies(self, process: ProcessId) -> None:
        """A process ends by itself."""
        self._do(self.machine.plan_gone(process, 1))

    def _do(self, step: Step) -> None:
        """Journal a step, then make it so."""
        for grant in step.uses:
            self.orders.use(grant)
        for hold in step.holds:
            before = self.journal.get(hold.id)
            if isinstance(hold.fate, Pass) and (before is None or before.fate is None):
                self.passed_ns[hold.id] = self._boot_ns
        self.journal.update({hold.id: replace(hold) for hold in step.holds})
        self._used.update(dict(step.used))
        self.machine.accept(step)
        self.says += step.says

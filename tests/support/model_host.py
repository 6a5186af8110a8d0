"""A host with the agent's own machine and checker, and a journal that outlives its restarts."""

from dataclasses import replace

from agent.holds.machine import Machine
from agent.holds.model import Hold, Step, Voice
from agent.release import KillOrder, ProcessId, Release
from agent.verdicts import Checker, Late, Obey, Refused, Repeated
from tests.support.holds import hold_of
from tests.unit.collector.samples import make_act, make_opened
from wire.acts import act_digest
from wire.ids import HoldId, HostId, VerdictId
from wire.messages import HoldOpened, HoldState, OnTimeout
from wire.signing import Verifier

HOST = HostId("a" * 32)
_BOOT = "boot-1"


class ModelHost:
    """Holds acts, obeys verdicts, and tells the list `says` in the order in which it spoke."""

    def __init__(self, trusted: frozenset[str]) -> None:
        self.boot_ns = 1
        self.says: list[HoldOpened | HoldState] = []
        self.released: dict[HoldId, Release] = {}
        self.killed: set[HoldId] = set()
        self.journal: dict[HoldId, Hold] = {}
        self._used: dict[VerdictId, HoldId] = {}
        self.machine = Machine(HOST)
        self._checker = Checker(
            host=HOST,
            boot_id=_BOOT,
            verifier=Verifier(trusted),
            find=self.journal.get,
            used=self._used.get,
        )

    def restart(self) -> None:
        """Begin anew with what the journal has."""
        self.machine = Machine(HOST)
        self.machine.accept(Step(holds=tuple(h for h in self.journal.values() if not h.finished)))

    def hold(
        self,
        *,
        pid: int,
        owner: str,
        login_user: str,
        opened_ns: int,
        life_ns: int,
        on_timeout: OnTimeout,
    ) -> HoldOpened:
        """Stop an act of a process, and ask. `life_ns` 0: without a deadline."""
        number = len(self.journal) + 1
        login = 1000 if login_user else None
        act = make_act(login_user=login_user, login_uid=login, boot_ns=number)
        deadline = self.boot_ns + life_ns if life_ns else 0
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
            opened_ns=opened_ns,
            deadline_boot_ns=deadline,
            deadline_ns=opened_ns + life_ns if life_ns else 0,
            owner=owner,
        )
        self._do(self.machine.plan_open(hold, opened, 1))
        return opened

    def hear(self, data: bytes, headers: dict[str, str]) -> Obey | Late | Repeated | Refused:
        """Take a message of the verdict stream, as the keeper does."""
        self.pass_time(0)
        outcome = self._checker.check(data, headers, self.boot_ns)
        match outcome:
            case Obey(verdict):
                self._do(self.machine.plan_answer(verdict, 1))
            case Late(verdict, hold):
                self._do(self.machine.plan_late(hold, verdict, 1))
        return outcome

    def pass_time(self, ns: int) -> None:
        """Let its clock run, and end what nobody has answered."""
        self.boot_ns += ns
        self._do(self.machine.plan_expire(self.boot_ns, 1))

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
        self.journal.update({hold.id: replace(hold) for hold in step.holds})
        self._used.update(dict(step.used))
        self.machine.accept(step)
        self.says += step.says

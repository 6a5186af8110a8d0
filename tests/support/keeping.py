"""A keeper over a fake sensor, a real journal, real processes and a clock that the test moves."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agent.holds.intake import Host
from agent.holds.keeper import Keeper
from agent.holds.model import Hold
from agent.holds.settler import Parts
from agent.journal import Journal, Letter
from agent.processes import ProcessControl
from agent.rulings import Ruled
from rules.model import Action
from tests.support.fake_sensor import FakeSensor, HeldMap
from wire import codec
from wire.acts import Act
from wire.ids import HoldId, HostId, VerdictId, new_id, request_of
from wire.messages import (
    Answer,
    Ground,
    HoldOpened,
    HoldState,
    HoldStateName,
    KillScope,
    OnTimeout,
    RuleFacts,
    Severity,
    Verdict,
)
from wire.redaction.redactor import Redactor
from wire.signing import Signer, Verifier

HOST = HostId("a" * 32)
MINUTE_NS = 60 * 1_000_000_000


class MovedClock:
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        self.boot = 1_000 * MINUTE_NS

    def boot_ns(self) -> int:
        """Return the time since boot."""
        return self.boot

    def now_ns(self) -> int:
        """Return the time since the epoch."""
        return 1_700_000_000_000_000_000 + self.boot


class MovedAlarm:
    """An alarm that rings when the test says so."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call
        self.at: int | None = None

    def set(self, boot_ns: int | None) -> None:
        """Note the time."""
        self.at = boot_ns

    def close(self) -> None:
        """Never ring again."""
        self.at = None


class Notes:
    """A report that keeps what it was told."""

    def __init__(self) -> None:
        self.acts: list[tuple[str | None, HoldId | None, str]] = []
        self.counts: list[int] = []  # of each of these
        self.notices: list[tuple[str, str]] = []

    def held(
        self,
        act: Act,
        *,
        action: str | None,
        rule: str | None,
        hold: HoldId | None,
        detail: str,
        count: int = 1,
    ) -> None:
        """Keep it."""
        self.acts.append((action, hold, detail))
        self.counts.append(count)

    def notice(self, name: str, words: str) -> None:
        """Keep it."""
        self.notices.append((name, words))


def asking(
    *,
    on_timeout: OnTimeout = OnTimeout.KILL,
    kill: KillScope = KillScope.PROCESS,
    timeout_ns: int = 10 * MINUTE_NS,
    action: Action | None = Action.ASK,
) -> Ruled:
    """Return what a rule says that asks, or does as `action` says."""
    rule = RuleFacts(
        id="test.rule",
        description="A rule of the test.",
        severity=Severity.HIGH,
        on_timeout=on_timeout,
        kill=kill,
    )
    if action is None:
        return Ruled(action=None, rule=None)
    return Ruled(action=action, rule=rule, timeout_ns=timeout_ns)


@dataclass
class Bench:
    """One run of a keeper after another over the same disk, kernel and processes."""

    directory: Path
    ruled: Callable[[Act], Ruled] = field(default=lambda act: asking())
    boot_id: str = "boot-1"
    refuses: bool = False
    per_subject: int = 100
    denials_per_minute: int = 60
    held: HeldMap = field(default_factory=HeldMap)
    clock: MovedClock = field(default_factory=MovedClock)
    notes: Notes = field(default_factory=Notes)
    signer: Signer = field(default_factory=Signer.generate)
    redactor: Redactor = field(default_factory=lambda: Redactor(key=b"k" * 32))

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Make everything that an agent has in memory; start is the test's."""
        self.sensor = FakeSensor(self.held)
        self.journal = Journal(self.directory / "journal.db", HOST)
        self.control = ProcessControl(asyncio.get_running_loop())
        parts = Parts(
            host=Host(
                id=HOST,
                name="box",
                boot_id=self.boot_id,
                responsible={"ai-worker": "ann@example.com"},
                refuses=self.refuses,
                holds_per_subject=self.per_subject,
                denials_per_minute=self.denials_per_minute,
            ),
            sensor=self.sensor,
            fresh=self.sensor.new_holds,
            journal=self.journal,
            control=self.control,
            judge=lambda act: self.ruled(act),
            verifier=Verifier(frozenset({self.signer.key_id})),
            report=self.notes,
            clock=self.clock,
            said=lambda: None,
            redactor=self.redactor,
        )
        self.alarms: list[MovedAlarm] = []

        def alarm(call: Callable[[], None]) -> MovedAlarm:
            self.alarms.append(MovedAlarm(call))
            return self.alarms[-1]

        self.keeper = Keeper(parts, alarm)

    def crash(self) -> None:
        """Drop everything in memory, as kill -9 does."""
        self.keeper.close()
        self.journal.close()
        self.sensor.close()

    def restart(self) -> int:
        """Crash, begin and start again."""
        self.crash()
        self.begin()
        return self.keeper.start()

    def hold(self, act: Act) -> HoldId:
        """Hold an act, hand it to the keeper, and return the hold that is asked about."""
        before = {hold.id for hold in self.keeper.holds()}
        self.sensor.hold(act)
        self.keeper.on_holds()
        (new,) = {hold.id for hold in self.keeper.holds()} - before
        return new

    def answer(self, hold: HoldId, answer: Answer, **changes: object) -> Verdict:
        """Deliver a signed verdict about a hold; return it."""
        verdict = self.verdict(hold, answer, **changes)
        self.deliver(verdict)
        return verdict

    def verdict(self, hold: HoldId, answer: Answer, **changes: object) -> Verdict:
        """Return a verdict about a hold as a collector would make it."""
        kept = self.kept(hold)
        values: dict[str, object] = {
            "verdict": VerdictId(new_id()),
            "host": HOST,
            "hold": hold,
            "request": request_of(hold),
            "digest": kept.digest,
            "answer": answer,
            "ground": Ground.DECISION,
            "by": "ann",
            "via": "cli",
            "reason": "known work",
            "boot_id": self.boot_id,
            "expires_boot_ns": kept.deadline_boot_ns,
            "time_ns": self.clock.now_ns(),
        } | changes
        return Verdict(**values)  # type: ignore[arg-type]

    def deliver(self, verdict: Verdict, signer: Signer | None = None) -> None:
        """Hand a verdict to the keeper as the stream would."""
        data = codec.encode(verdict)
        self.keeper.on_verdict(data, (signer or self.signer).headers(data))

    def pass_time(self, ns: int) -> None:
        """Move the clock, and ring if the alarm was set for it."""
        self.clock.boot += ns
        alarm = self.alarms[-1]
        if alarm.at is not None and alarm.at <= self.clock.boot:
            alarm.call()

    def kept(self, hold: HoldId) -> Hold:
        """Return a hold as the journal has it."""
        kept = self.journal.get(hold)
        assert kept is not None
        return kept

    def said(self, hold: HoldId) -> list[HoldOpened | HoldState]:
        """Return, in order, every message about a hold that is to be published."""
        found = []
        for letter in every_letter(self.journal):
            if letter.hold == hold:
                message = codec.decode(letter.data)
                assert isinstance(message, HoldOpened | HoldState)
                found.append(message)
        return found

    def states(self, hold: HoldId) -> list[HoldStateName]:
        """Return the states that were said of a hold."""
        return [say.state for say in self.said(hold) if isinstance(say, HoldState)]

    async def settled(self) -> None:
        """Wait until no hold is open."""
        await self.keeper.settled()


def every_letter(journal: Journal) -> list[Letter]:
    """Return the whole outbox in order, and leave it as it is."""
    rows = journal._all("SELECT number, hold, subject, message_id, data FROM outbox ORDER BY 1")
    return [Letter(*row) for row in rows]

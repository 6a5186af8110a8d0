"""The rules by which holds move: pure, no clock, no disk, no signal.

Each input is planned into a Step, and only an accepted Step (the journal has it) changes
anything. What to do with a process follows from the states of its holds alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from agent.errors import AgentError
from agent.holds.model import Doom, Fate, Hold, Pass, Step, Voice, Why
from agent.release import KillOrder, ProcessId, Release
from agent.sensor.interface import NO_KEY, HeldKey
from wire.ids import HoldId, HostId, OrderId
from wire.messages import (
    Answer,
    Ground,
    HoldOpened,
    HoldState,
    HoldStateName,
    KillScope,
    OnTimeout,
    Verdict,
)
from wire.orders import Grant, Quarantine

_ENDED = "the process has ended"


class Machine:
    """All holds of one host that are not over. Methods named plan_* change nothing."""

    def __init__(self, host: HostId) -> None:
        self._host = host
        self._holds: dict[HoldId, Hold] = {}
        self._of: dict[ProcessId, dict[HoldId, None]] = {}
        self._keys: set[HeldKey] = set()

    def __len__(self) -> int:
        return len(self._holds)

    def __iter__(self) -> Iterator[Hold]:
        return iter(list(self._holds.values()))

    def get(self, hold: HoldId) -> Hold | None:
        """Return a hold that is not over, None if there is none of that id."""
        return self._holds.get(hold)

    def has(self, key: HeldKey) -> bool:
        """Return whether an entry of the held map has a hold that is not over."""
        return key in self._keys

    def processes(self) -> list[ProcessId]:
        """Return every process that has a hold."""
        return list(self._of)

    def of(self, process: ProcessId) -> list[Hold]:
        """Return the holds of a process, oldest first."""
        return [self._holds[hold] for hold in self._of.get(process, ())]

    def waiting(self, session: str) -> list[Hold]:
        """Return the holds of a session that people are asked about, oldest first."""
        return [hold for hold in self._asked() if hold.session == session]

    def waiting_of(self, subject: str) -> list[Hold]:
        """Return the holds of a subject that people are asked about, oldest first."""
        return [hold for hold in self._asked() if hold.subject == subject]

    def _asked(self) -> Iterator[Hold]:
        return (hold for hold in self if hold.waiting and hold.voice is Voice.ASKED)

    def next_deadline(self) -> int | None:
        """Return the earliest deadline (boot clock) of those that wait, None without one."""
        return min(
            (hold.deadline_boot_ns for hold in self if hold.waiting and hold.deadline_boot_ns),
            default=None,
        )

    def accept(self, step: Step) -> None:
        """Make a step so; call once it is in the journal."""
        for hold in step.holds:
            if hold.finished:
                self._holds.pop(hold.id, None)
                self._keys.discard(hold.key)
                mine = self._of.get(hold.process, {})
                mine.pop(hold.id, None)
                if not mine:
                    self._of.pop(hold.process, None)
            else:
                self._holds[hold.id] = hold
                if hold.key != NO_KEY:
                    self._keys.add(hold.key)
                self._of.setdefault(hold.process, {})[hold.id] = None

    # -- what comes in ------------------------------------------------------------------------

    def plan_open(self, hold: Hold, opened: HoldOpened | None, now_ns: int) -> Step:
        """Take up a new hold; `opened` is what the centre is told if a person is to be asked."""
        if hold.id in self._holds or hold.finished:
            raise AgentError(f"hold {hold.id} is not new")
        if (hold.voice is Voice.ASKED) != (opened is not None):
            raise AgentError(f"hold {hold.id}: a person is asked by exactly one message")
        if opened is not None:
            return Step(holds=(hold,), says=(opened,))
        if isinstance(hold.fate, Doom):
            return self._one(hold, HoldStateName.DENIED, hold.fate, now_ns, hold.fate.why)
        return Step(holds=(hold,))

    def plan_granted(self, hold: Hold, opened: HoldOpened, grant: Grant, now_ns: int) -> Step:
        """Take up a new hold that a grant covers: it passes, and the centre is told of both."""
        if hold.id in self._holds or not hold.waiting or opened.grant != grant.order:
            raise AgentError(f"hold {hold.id} is not new, or not let pass by grant {grant.order}")
        step = self._by_grant(hold, HoldStateName.APPROVED, grant, now_ns)
        return replace(step, says=(opened, *step.says))

    def plan_used(self, hold: Hold, opened: HoldOpened, grant: Grant, now_ns: int) -> Step:
        """Record an act that the kernel has let pass by a grant: it is over, and was never held."""
        step = self.plan_granted(hold, opened, grant, now_ns)
        passed = step.holds[0]
        why = passed.fate.why if passed.fate else None
        detail = "the kernel let it pass by the grant, without a stop"
        end = self._over(passed, HoldStateName.RELEASED, now_ns, why, detail)
        return replace(end, says=(*step.says, *end.says), uses=(), spent=(grant.order,))

    def plan_superseded(self, hold: Hold, order: Grant | Quarantine, now_ns: int) -> Step:
        """End the wait of a hold by a newer grant that covers it, or by a quarantine."""
        if not hold.waiting:
            raise AgentError(f"hold {hold.id} is {hold.state} and waits for no order")
        if isinstance(order, Grant):
            return self._by_grant(hold, HoldStateName.SUPERSEDED, order, now_ns)
        why = Why(ground=Ground.DECISION, by=order.by, reason=order.reason)
        detail = f"{order.subject!r} was put under quarantine"
        fate = Doom(why, hold.kill)
        state = HoldStateName.SUPERSEDED
        return self._one(hold, state, fate, now_ns, why, detail, order=order.order)

    def plan_ruled(self, hold: Hold, fate: Pass | Doom, detail: str, now_ns: int) -> Step:
        """End the wait of a hold by a rule that is newer than it."""
        if not hold.waiting or fate.why.ground is not Ground.RULE:
            raise AgentError(f"hold {hold.id} is {hold.state}, or not settled by a rule")
        return self._one(hold, HoldStateName.SUPERSEDED, fate, now_ns, fate.why, detail)

    def _by_grant(self, hold: Hold, state: HoldStateName, grant: Grant, now_ns: int) -> Step:
        why = Why(ground=Ground.GRANT, by=grant.by, reason=grant.reason)
        detail = f"covered by grant {grant.order}"
        step = self._one(hold, state, Pass(why), now_ns, why, detail, order=grant.order)
        return replace(step, uses=(grant.order,))

    def plan_answer(self, verdict: Verdict, now_ns: int) -> Step:
        """Apply a verdict that was checked; its hold must wait."""
        hold = self._holds[verdict.hold]
        if not hold.waiting:
            raise AgentError(f"hold {hold.id} is {hold.state} and waits for no answer")
        why = Why(
            ground=verdict.ground, verdict=verdict.verdict, by=verdict.by, reason=verdict.reason
        )
        used = ((verdict.verdict, hold.id),)
        if verdict.answer is Answer.APPROVE:
            step = self._one(hold, HoldStateName.APPROVED, Pass(why), now_ns, why)
        else:
            # Silence is no refusal by a person.
            silent = verdict.ground is Ground.TIMEOUT_POLICY
            state = HoldStateName.EXPIRED if silent else HoldStateName.DENIED
            step = self._one(hold, state, Doom(why, hold.kill, hold.refuse), now_ns, why)
        return replace(step, used=used)

    def plan_late(self, hold: Hold, verdict: Verdict, now_ns: int) -> Step:
        """Record an answer that came after the wait, or its own life, was over.

        It changes no state.
        """
        why = Why(
            ground=verdict.ground, verdict=verdict.verdict, by=verdict.by, reason=verdict.reason
        )
        when = (
            "which could be obeyed for a while that is over"
            if hold.waiting
            else f"when the hold was {hold.state} already"
        )
        detail = f"too late: {verdict.by} said {verdict.answer} by {verdict.via}, {when}"
        step = self._one(hold, hold.state, hold.fate, now_ns, why, detail)
        # It is the ground of nothing: what became of the process had another.
        says = tuple(replace(say, ground=None) for say in step.says if isinstance(say, HoldState))
        return replace(step, says=says, used=((verdict.verdict, hold.id),))

    def plan_expire(self, boot_ns: int, now_ns: int) -> Step:
        """End the wait of every hold whose deadline has come, as its rule says."""
        why = Why(ground=Ground.TIMEOUT_POLICY)
        steps = []
        for hold in self:
            if not hold.waiting or not hold.deadline_boot_ns or hold.deadline_boot_ns > boot_ns:
                continue
            # One that is kept has no deadline, so what is not released is killed.
            released = hold.on_timeout is OnTimeout.RELEASE
            fate: Fate = Pass(why) if released else Doom(why, hold.kill, hold.refuse)
            detail = f"nobody answered in time; the rule says {hold.on_timeout}"
            steps.append(self._one(hold, HoldStateName.EXPIRED, fate, now_ns, why, detail))
        return _joined(steps)

    def plan_release_all(self, why: Why, now_ns: int) -> Step:
        """Let everything pass that no one has denied."""
        return _joined(
            self._one(hold, self._ended(hold, HoldStateName.APPROVED), Pass(why), now_ns, why)
            for hold in self
            if hold.fate is None
        )

    def plan_kill_all(self, why: Why, now_ns: int) -> Step:
        """Doom everything that is stopped, approved or not."""
        return _joined(
            self._one(
                hold,
                self._ended(hold, HoldStateName.DENIED),
                Doom(why, KillScope.PROCESS),
                now_ns,
                why,
            )
            for hold in self
            if not (isinstance(hold.fate, Doom) and hold.fate.kills)
        )

    # -- what follows -------------------------------------------------------------------------

    def order(self, process: ProcessId) -> Release | KillOrder | None:
        """Return what the holds of a process add up to.

        Any denial kills, unless it only refuses its call; to run on, all must be decided.
        """
        mine = self.of(process)
        doomed = [
            (hold, hold.fate) for hold in mine if isinstance(hold.fate, Doom) and hold.fate.kills
        ]
        if doomed:
            # The widest scope that any denial asks for.
            hold, fate = next(
                ((h, f) for h, f in doomed if f.scope is KillScope.TREE),
                doomed[0],
            )
            others: tuple[ProcessId, ...] = ()
            if fate.scope is KillScope.TREE:
                family = {other.process for other in self if other.session == hold.session}
                others = tuple(sorted(family - {process}))
            return KillOrder(
                process=process,
                scope=fate.scope,
                ground=fate.why.ground,
                hold=hold.id,
                others=others,
            )
        grounds = {hold.id: hold.fate.why.ground for hold in mine if hold.fate is not None}
        if not mine or len(grounds) < len(mine):
            return None
        refused = frozenset(hold.id for hold in mine if isinstance(hold.fate, Doom))
        return Release(process=process, grounds=grounds, refused=refused)

    # -- what was done ------------------------------------------------------------------------

    def plan_resumed(self, release: Release, now_ns: int) -> Step:
        """The process was seen to run on."""
        steps = []
        for hold_id in release.grounds:
            hold = self._holds.get(hold_id)
            if hold is None or hold.fate is None:
                continue
            refused = hold_id in release.refused
            state = HoldStateName.REFUSED if refused else HoldStateName.RELEASED
            steps.append(self._over(hold, state, now_ns, hold.fate.why, ""))
        return _joined(steps)

    def plan_gone(
        self,
        process: ProcessId,
        now_ns: int,
        *,
        cause: str = "",
        killed_for: KillOrder | None = None,
    ) -> Step:
        """The process has exited: by itself, killed with the tree of another, or for `cause`."""
        mine = self.of(process)
        order = self.order(process)
        killer = order if isinstance(order, KillOrder) else killed_for
        return _joined(self._ending(hold, killer, now_ns, cause) for hold in mine)

    def plan_failed(self, process: ProcessId, problem: str, now_ns: int) -> Step:
        """What was ordered could not be done; say so once, nothing else changes."""
        return _joined(
            self._one(hold, hold.state, hold.fate, now_ns, hold.fate.why, problem)
            for hold in self.of(process)
            if hold.fate is not None
        )

    def plan_note(self, holds: Iterable[Hold], words: str, now_ns: int) -> Step:
        """Something happened that changes no state, and that who decides should know."""
        return _joined(
            self._one(hold, hold.state, hold.fate, now_ns, None, words)
            for hold in holds
            if hold.waiting
        )

    def plan_capped(
        self, holds: Iterable[Hold], summary: HoldId, denied: int, words: str, now_ns: int
    ) -> Step:
        """The session of these holds has reached its limit, and `denied` acts were denied since."""
        step = self.plan_note(holds, words, now_ns)
        says = (
            replace(say, capped=summary, denied_beyond=denied)
            if isinstance(say, HoldState)
            else say
            for say in step.says
        )
        return replace(step, says=tuple(says))

    # -- one hold -----------------------------------------------------------------------------

    def _ending(self, hold: Hold, killer: KillOrder | None, now_ns: int, cause: str) -> Step:
        if isinstance(hold.fate, Doom) and hold.fate.kills:
            return self._over(hold, HoldStateName.KILLED, now_ns, hold.fate.why, "")
        if killer is not None:
            cause = f"the process was killed for hold {killer.hold}"
        if hold.fate is not None:
            if not cause and hold.key == NO_KEY:
                # Its entry goes right before SIGCONT, and the run that took it out recorded no end.
                detail = "the agent ended as it let the process go, and the process has ended since"
                passed = isinstance(hold.fate, Pass)
                state = HoldStateName.RELEASED if passed else HoldStateName.REFUSED
                return self._over(hold, state, now_ns, hold.fate.why, detail)
            if killer is not None:
                why = Why(ground=killer.ground)
                return self._over(hold, HoldStateName.KILLED, now_ns, why, cause)
            cause = f"{cause or _ENDED} before it could run on; this host did not kill it"
            return self._over(hold, HoldStateName.KILLED, now_ns, None, cause)
        return self._over(hold, HoldStateName.CANCELLED, now_ns, None, cause or _ENDED)

    @staticmethod
    def _ended(hold: Hold, state: HoldStateName) -> HoldStateName:
        """Return the state that an answer for all gives: a wait that is over stays over."""
        return state if hold.waiting else hold.state

    def _over(
        self, hold: Hold, state: HoldStateName, now_ns: int, why: Why | None, detail: str
    ) -> Step:
        return self._one(replace(hold, finished=True), state, hold.fate, now_ns, why, detail)

    def _one(
        self,
        hold: Hold,
        state: HoldStateName,
        fate: Fate,
        now_ns: int,
        why: Why | None,
        detail: str = "",
        *,
        order: OrderId | None = None,
    ) -> Step:
        after = replace(hold, state=state, fate=fate)
        if hold.voice is Voice.QUIET:
            return Step(holds=(after,))
        after = replace(after, sequence=hold.sequence + 1)
        said = HoldState(
            hold=hold.id,
            host=self._host,
            sequence=after.sequence,
            state=state,
            time_ns=now_ns,
            ground=why.ground if why else None,
            verdict=why.verdict if why else None,
            order=order,
            by=why.by if why else "",
            reason=why.reason if why else "",
            detail=detail,
        )
        return Step(holds=(after,), says=(said,))


def _joined(steps: Iterable[Step]) -> Step:
    every = list(steps)
    return Step(
        holds=tuple(hold for step in every for hold in step.holds),
        says=tuple(say for step in every for say in step.says),
        used=tuple(pair for step in every for pair in step.used),
        uses=tuple(grant for step in every for grant in step.uses),
        spent=tuple(grant for step in every for grant in step.spent),
    )

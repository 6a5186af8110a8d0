"""Two collectors and a host, with everything that can happen to them, in every order.

The parts are the real ones of both sides; NATS and the trail are in memory, so that a message can
be lost, doubled, late or unacknowledged, and either side killed, wherever that can happen. What
people said and who they are is kept apart, and every release is held against that.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from agent.verdicts import Obey, Refused
from collector.approvals.record import Record, RequestState
from collector.errors import CentreError, Refusal
from collector.identity.people import Caller
from collector.orders.terms import Scope, Terms
from collector.policy.model import PolicySet
from tests.support.folding import check_folds
from tests.support.holds import verdict_on
from tests.support.model_host import HOST, SUBJECT, ModelHost
from tests.support.model_people import (
    ACCOUNTS,
    LAUNCHER,
    MAY_NOT,
    POLICIES,
    REVIEWERS,
    WHOSE,
    accounts_of,
    enough,
)
from tests.support.model_site import NAMES, OWNER, KilledError, ModelCollector, Streams
from tests.support.model_truth import SECOND, SKEW, Truth
from tests.support.steady_ids import SteadyIds
from wire import subjects
from wire.codec import decode_as, encode
from wire.ids import HoldId, RequestId
from wire.messages import Answer, Decision, Ground, HoldOpened, OnTimeout, Vote
from wire.signing import Signer, Verifier

START = 1_780_000_000 * SECOND
KEYS = (Signer.from_seed("11" * 32, place="a"), Signer.from_seed("22" * 32, place="b"))
THIEF = Signer.from_seed("33" * 32, place="thief")
GRANTS = (
    None,
    None,
    Terms(minutes=1, uses=2),
    Terms(minutes=15, uses=1),
    Terms(minutes=15, uses=5, scope=Scope.SUBJECT),
)


def _of(person: str) -> list[tuple[str, Caller]]:
    return [one for one in ACCOUNTS if one[0] == person]


class Site(RuleBasedStateMachine):
    """What may happen; see the module."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = SteadyIds()
        self.runner = asyncio.Runner()
        self.time = START
        self.streams = Streams()
        verifier = Verifier(frozenset(key.key_id for key in KEYS))
        self.host = ModelHost(verifier.trusted, START)
        self.published = 0  # how many of the host's messages are in the stream
        self.opened: dict[RequestId, HoldOpened] = {}
        self.behind: dict[HoldId, int] = {}
        self.truth = Truth(self.host, self.streams, verifier.trusted, START - 1, self.behind)
        self.ends: dict[tuple[int, RequestId], RequestState] = {}
        people = [one for _, one in ACCOUNTS]
        self.collectors = [
            ModelCollector(self.streams, key, verifier, self.clock(skew), people)
            for key, skew in zip(KEYS, (0, SKEW), strict=True)
        ]

    def clock(self, skew: int) -> Any:
        """Return the clock of a collector."""
        return lambda: self.time + skew

    def run_(self, work: Coroutine[Any, Any, object], number: int = 0) -> None:
        """Do what a collector does; begin anew if it is killed over it.

        A denial that it knows of wins, whatever else it has heard.
        """
        denied = self.denied_at(number) - self.streams.decisions().keys()
        try:
            self.runner.run(work)
        except KilledError:
            self.runner.run(self.collectors[number].start())
        except (Refusal, CentreError):
            pass
        decided = self.streams.decisions()
        for request in denied & decided.keys():
            assert decided[request].answer is Answer.DENY

    def denied_at(self, number: int) -> set[RequestId]:
        """Return what somebody has denied, as far as a collector knows."""
        known = self.collectors[number].book.register.all()
        return {one.id for one in known if any(vote.answer is Answer.DENY for vote in one.votes)}

    def teardown(self) -> None:
        """In the end everything arrives everywhere, and nothing is left undone."""
        try:
            self.settle_all((1,))  # also if the other never comes back
            self.nothing_is_left((1,))
            self.settle_all((0, 1))
            self.agree()
            self.nothing_is_left((0, 1))
        finally:
            self.runner.close()
            self.ids.end()

    @initialize(
        policy=st.sampled_from(sorted(POLICIES)), told=st.booleans(), seed=st.integers(0, 1 << 16)
    )
    def begins(self, policy: str, told: bool, seed: int) -> None:
        """Both start under one policy, and a request waits that they may have heard of."""
        self.ids.begin(seed)
        for collector in self.collectors:
            self.runner.run(collector.start())
            collector.put_in_force(PolicySet((POLICIES[policy],)))
        self.holds(2, "make", 1000, OnTimeout.KILL, 0)
        if told:
            self.publishes()
            self.catches_up(0)
            self.catches_up(1)

    # -- the host ------------------------------------------------------------------------------

    @precondition(lambda self: len(self.opened) < 4)
    @rule(
        pid=st.integers(2, 4),
        what=st.sampled_from(["make", "make", "ls"]),
        life=st.sampled_from([0, 100, 1000]),
        on_timeout=st.sampled_from(OnTimeout),
        off=st.sampled_from([0, 0, -3600, 3600]),
    )
    def holds(self, pid: int, what: str, life: int, on_timeout: OnTimeout, off: int) -> None:
        """The host stops an act and asks, unless a grant or a quarantine answers; its clock may
        have been set wrong."""
        self.host.wall_ns = self.time + off * SECOND
        opened = self.host.hold(
            pid=pid,
            what=what,
            owner=OWNER,
            login_user=LAUNCHER,
            life_ns=life * SECOND,
            on_timeout=on_timeout,
        )
        if opened is not None:
            self.opened[RequestId(opened.hold)] = opened
            self.behind[opened.hold] = max(0, -off) * SECOND

    @precondition(lambda self: self.published < len(self.host.says))
    @rule()
    def publishes(self) -> None:
        """What the host says reaches the stream."""
        say = self.host.says[self.published]
        self.published += 1
        data, headers = _bytes(say)
        self.streams.put(subjects.HOLDS, subjects.hold(say.host, say.hold), data, headers)

    @precondition(lambda self: self.streams.verdicts)
    @rule(data=st.data())
    def hears_a_verdict(self, data: st.DataObject) -> None:
        """Any verdict, and any again."""
        one = data.draw(st.sampled_from(self.streams.verdicts))
        before = dict(self.host.journal)
        outcome = self.host.hear(one.data, dict(one.headers))
        if isinstance(outcome, Refused):
            assert {h: self.host.journal[h].fate for h in before} == {
                h: hold.fate for h, hold in before.items()
            }

    @precondition(lambda self: self.streams.messages[subjects.ORDERS])
    @rule(data=st.data())
    def hears_an_order(self, data: st.DataObject) -> None:
        """Any order, and any again, before the verdicts or after them."""
        one = data.draw(st.sampled_from(self.streams.messages[subjects.ORDERS]))
        self.host.hear_order(one.data, dict(one.headers))
        for headers in (THIEF.headers(one.data), {}):
            before = self.host.journal.copy()
            self.host.hear_order(one.data, headers)
            assert self.host.journal == before

    @rule()
    def settles(self) -> None:
        """The host hears what there is for it, and carries out what is decided."""
        for verdict in self.streams.verdicts:
            self.host.hear(verdict.data, dict(verdict.headers))
        for order in self.streams.messages[subjects.ORDERS]:
            self.host.hear_order(order.data, dict(order.headers))
        self.host.settle()

    @rule(data=st.data(), number=st.integers(0, 1))
    def trouble(self, data: st.DataObject, number: int) -> None:
        """What happens now and then."""
        what = data.draw(st.sampled_from(_TROUBLE))
        match what:
            case "agent":  # killed; its journal stays
                self.host.restart()
            case "collector":  # killed; its trail stays
                self.runner.run(self.collectors[number].start())
            case "policy":  # changes at one collector, maybe not yet at the other
                policy = POLICIES[data.draw(st.sampled_from(sorted(POLICIES)))]
                self.collectors[number].put_in_force(PolicySet((policy,)))
            case "forged":
                self.somebody_forges(data, data.draw(st.booleans()))
            case "process":
                if len(self.host.machine):
                    self.process_dies(data)
            case "rules":
                self.rules_change(data, allow=data.draw(st.booleans()))
            case "quarantine":
                self.somebody_orders(data, number)

    def process_dies(self, data: st.DataObject) -> None:
        """By itself."""
        self.host.dies(data.draw(st.sampled_from(self.host.machine.processes())))

    def rules_change(self, data: st.DataObject, *, allow: bool) -> None:
        """A newer rule settles what waits, before anybody has voted or after."""
        waiting = [hold for hold in self.host.machine if hold.waiting]
        if waiting:
            self.host.rules_change(data.draw(st.sampled_from(waiting)), allow=allow)

    def somebody_orders(self, data: st.DataObject, number: int) -> None:
        """A quarantine, or the end of one; who may do neither is refused."""
        collector = self.collectors[number]
        person, caller = data.draw(st.sampled_from(ACCOUNTS))
        issuer = collector.issuer
        open_ones = [one for one in issuer.ledger.quarantines() if one.lifted is None]
        before = len(self.streams.orders())
        if open_ones:
            known = data.draw(st.sampled_from(open_ones))
            asked = collector.book.register.all()
            self.run_(issuer.lift(caller, known, asked=asked, reason="over", via="cli"), number)
            # Who has started its sessions, only its requests can tell.
            may_not = MAY_NOT if asked else MAY_NOT - {"tom"}
            assert person not in may_not or len(self.streams.orders()) == before
        else:
            self.run_(issuer.quarantine(caller, SUBJECT, HOST, reason="stop", via="cli"), number)
            assert person not in ("ci", "vic") or len(self.streams.orders()) == before

    @rule(seconds=st.sampled_from([1, 59, 60, 400]))
    def time_passes(self, seconds: int) -> None:
        """On all clocks."""
        self.time += seconds * SECOND
        self.host.pass_time(seconds * SECOND)

    # -- the centre ----------------------------------------------------------------------------

    @rule(data=st.data(), number=st.integers(0, 1), ends=st.sampled_from(["", "", "", "kill"]))
    def takes_in(self, data: st.DataObject, number: int, ends: str) -> None:
        """A collector reads the next message of a stream, and may be killed over it."""
        collector = self.collectors[number]
        ready = [name for name in NAMES if collector.next[name] < len(self.streams.messages[name])]
        if not ready:
            return
        name = data.draw(st.sampled_from(ready))
        how = data.draw(st.sampled_from(["uncommitted", "committed"])) if ends else ""
        self.run_(collector.take(name, collector.next[name], ends=how), number)

    @rule(number=st.integers(0, 1))
    def catches_up(self, number: int) -> None:
        """A collector reads all that there is."""
        collector = self.collectors[number]
        for name in NAMES:
            while collector.next[name] < len(self.streams.messages[name]):
                self.run_(collector.take(name, collector.next[name]), number)

    @rule(data=st.data(), number=st.integers(0, 1))
    def takes_in_again(self, data: st.DataObject, number: int) -> None:
        """What was taken in before changes nothing."""
        collector = self.collectors[number]
        known = [(n, i) for n in NAMES for i in range(collector.next[n])]
        if not known:
            return
        name, position = data.draw(st.sampled_from(known))
        before = {one.id: one for one in collector.book.register.all()}
        self.run_(collector.take(name, position), number)
        after = {one.id: one for one in collector.book.register.all()}
        assert {one: after[one] for one in before} == before

    @rule(number=st.integers(0, 1))
    def votes_are_looked_at(self, number: int) -> None:
        """Those that nobody may have decided upon."""
        self.run_(self.collectors[number].see_to_votes(), number)

    @rule(number=st.integers(0, 1))
    def silence(self, number: int) -> None:
        """Deadlines and escalation; votes that were enough are no silence."""
        collector = self.collectors[number]
        decided = self.streams.decisions()
        settled = {
            one.id
            for one in collector.book.register.all()
            if one.state is RequestState.OPEN
            and one.id not in decided
            and self.have_said_enough(collector, one)
        }
        self.run_(collector.let_time_act(), number)
        for request, decision in self.streams.decisions().items():
            assert request not in settled or decision.ground is not Ground.TIMEOUT_POLICY

    def have_said_enough(self, collector: ModelCollector, record: Record) -> bool:
        """Return whether the people who have said yes, and nobody no, are those that are asked."""
        policy = collector.policies.apply(record).policy
        answers = {one.answer for one in record.votes}
        who = {WHOSE[one.by] for one in record.votes if one.ground is Ground.DECISION}
        # A vote that another policy has admitted counts for what that one asked.
        same = {one.policy for one in record.votes} == {policy.id} and not policy.escalate
        return same and answers == {Answer.APPROVE} and enough(policy, sorted(who))

    @rule(data=st.data(), number=st.integers(0, 1), end=st.sampled_from(["time", "killed"]))
    def two_have_said_it_and_nobody_has_decided(
        self, data: st.DataObject, number: int, end: str
    ) -> None:
        """Their collector was killed each time; then the deadline comes, or it is killed again."""
        collector = self.collectors[number]
        collector.put_in_force(PolicySet((POLICIES["two"],)))
        for who in ("bob", "cat"):
            self.answer(
                data, number, Answer.APPROVE, False, accounts_of(who), ["killed after"], at=0
            )
            self.catches_up(number)
        if end == "time":
            self.time_passes(400)
            self.silence(number)
        else:
            self.runner.run(collector.start())
            self.votes_are_looked_at(number)
            self.nothing_is_undecided(number)

    @rule(
        data=st.data(),
        number=st.integers(0, 1),
        answer=st.sampled_from([Answer.APPROVE, Answer.APPROVE, Answer.APPROVE, Answer.DENY]),
        fault=st.sampled_from(
            ["", "", "", "", "away", "unconfirmed", "killed before", "killed after"]
        ),
        at=st.integers(0, 2),
        glass=st.sampled_from([False, False, False, True]),
    )
    def says(
        self,
        data: st.DataObject,
        number: int,
        answer: Answer,
        fault: str,
        at: int,
        glass: bool,
    ) -> None:
        """Somebody answers, and something goes wrong with the first, second or third message."""
        self.answer(data, number, answer, glass, ACCOUNTS, [""] * at + [fault])

    @rule(data=st.data(), number=st.integers(0, 1))
    def reviewer_approves(self, data: st.DataObject, number: int) -> None:
        """Nothing goes wrong, so that some requests get as far as their quorum."""
        self.answer(data, number, Answer.APPROVE, False, REVIEWERS, [])

    @rule(
        data=st.data(),
        number=st.integers(0, 1),
        fault=st.sampled_from(["", "", "killed after"]),
        late=st.sampled_from([0, 400]),
        at=st.sampled_from([0, -1]),
        named=st.booleans(),
    )
    def glass_is_broken(
        self, data: st.DataObject, number: int, fault: str, late: int, at: int, named: bool
    ) -> None:
        """By somebody on duty; the collector may be killed before it can decide, and the host may
        hear of it when its life is over."""
        if named:
            self.collectors[number].put_in_force(PolicySet((POLICIES["both"],)))
        self.answer(data, number, Answer.APPROVE, True, accounts_of("cat"), [fault], at=at)
        if late:
            self.time_passes(late)
        self.settles()

    @precondition(lambda self: len(self.opened) < 4)
    @rule(
        data=st.data(),
        number=st.integers(0, 1),
        terms=st.lists(st.sampled_from(GRANTS[2:]), min_size=2, max_size=2, unique=True),
        goes_on=st.sampled_from(["make", "ls"]),
        folded=st.booleans(),
    )
    def two_approve_for_a_time(
        self, data: st.DataObject, number: int, terms: list[Terms], goes_on: str, folded: bool
    ) -> None:
        """Each for another time, maybe of two identical acts at once; then the session goes on with
        the same act, or another."""
        collector = self.collectors[number]
        if folded:
            self.holds(4, "make", 1000, OnTimeout.KILL, 0)
            while self.published < len(self.host.says):
                self.publishes()
            self.catches_up(number)
        collector.put_in_force(PolicySet((POLICIES["two"],)))
        for who, one in zip(("bob", "cat"), terms, strict=True):
            self.answer(data, number, Answer.APPROVE, False, accounts_of(who), [], at=0, terms=one)
        self.settles()
        self.holds(3, goes_on, 1000, OnTimeout.KILL, 0)
        self.settles()

    @rule(data=st.data(), number=st.integers(0, 1), owner=st.sampled_from(_of("olga")))
    def an_owner_would_lift(
        self, data: st.DataObject, number: int, owner: tuple[str, Caller]
    ) -> None:
        """The quarantine of their own subject, of which this collector may have heard nothing."""
        collector = self.collectors[number]
        issuer = collector.issuer
        if all(one.lifted for one in issuer.ledger.quarantines()):
            (_, bob) = accounts_of("bob")[0]
            self.run_(issuer.quarantine(bob, SUBJECT, HOST, reason="stop", via="cli"), number)
        known = [one for one in issuer.ledger.quarantines() if one.lifted is None]
        asked = data.draw(st.sampled_from([(), collector.book.register.all()]))
        for one in known:
            work = issuer.lift(owner[1], one, asked=asked, reason="over", via="cli")
            self.run_(work, number)
            assert one.lifted is None

    @rule(data=st.data(), who=st.permutations([one for one in REVIEWERS if one[0] == "ann"]))
    def somebody_tries_to_be_two(self, data: st.DataObject, who: list[tuple[str, Caller]]) -> None:
        """At both collectors at once, under one name here and another there."""
        for number in (0, 1):
            self.answer(data, number, Answer.APPROVE, False, [who[number]], [])

    def answer(
        self,
        data: st.DataObject,
        number: int,
        answer: Answer,
        glass: bool,
        accounts: list[tuple[str, Caller]],
        faults: list[str],
        at: int | None = None,
        terms: Terms | None = None,
    ) -> None:
        """Somebody gives an answer through a collector; `faults` are as in FaultyPublisher.

        `at`: which of those that wait; None: any, and also one hold of several by itself. `terms`:
        the time that it is for; None: any, or for once.
        """
        collector = self.collectors[number]
        register = collector.book.register
        shown = sorted(register.requests(), key=lambda one: one.opened.act.boot_ns)
        if at is None:
            shown += sorted(register.all(), key=lambda one: one.opened.act.boot_ns)
        else:
            shown = [one for one in shown if one.waiting]
        if not shown:
            return
        record = data.draw(st.sampled_from(shown)) if at is None else shown[at]
        person, caller = data.draw(st.sampled_from(accounts))
        if terms is None and answer is Answer.APPROVE:
            terms = data.draw(st.sampled_from(GRANTS))
        collector.publisher.faults = list(faults)
        said = len(self.streams.messages[subjects.VOTES])
        decider = collector.decider
        digest = record.opened.digest
        work: Coroutine[Any, Any, object]
        if glass:
            work = decider.break_glass(caller, record, reason="fire", digest=None, via="cli")
        elif terms is not None:
            work = collector.issuer.approve_for_a_time(
                caller, record, terms, reason="so", digest=digest, via="cli"
            )
        else:
            work = decider.decide(
                caller, record, answer=answer, reason="so", digest=digest, via="cli"
            )
        self.run_(work, number)
        collector.publisher.faults = []
        if person in MAY_NOT:
            assert len(self.streams.messages[subjects.VOTES]) == said

    @precondition(lambda self: self.streams.messages[subjects.DECISIONS])
    @rule(data=st.data(), key=st.sampled_from(KEYS))
    def a_second_decision(self, data: st.DataObject, key: Signer) -> None:
        """A stream that was put back from a copy has lost its memory: the first one stands."""
        one = decode_as(
            data.draw(st.sampled_from(self.streams.messages[subjects.DECISIONS])).data, Decision
        )
        other = Answer.DENY if one.answer is Answer.APPROVE else Answer.APPROVE
        second = replace(one, answer=other, ground=Ground.DECISION, by="bob@example.com")
        payload, headers = _bytes(second, key)
        self.streams.put(subjects.DECISIONS, subjects.decision(one.request), payload, headers)

    def somebody_forges(self, data: st.DataObject, copied: bool) -> None:
        """Whoever has the NATS password of a collector, and not its key, sends what they like."""
        request = data.draw(st.sampled_from(sorted(self.opened)))
        name = data.draw(st.sampled_from([subjects.VOTES, subjects.DECISIONS]))
        if copied:  # signed, and about another request
            if not self.streams.messages[name]:
                return
            one = data.draw(st.sampled_from(self.streams.messages[name]))
            payload, headers = one.data, one.headers
        else:
            payload, headers = _bytes(_forged(self.opened[request], name), THIEF)
        subject = subjects.vote(request) if name == subjects.VOTES else subjects.decision(request)
        if name == subjects.VOTES:  # in the other the stream admits one, and it would be first
            self.streams.put(name, subject, payload, headers)
        verdict = data.draw(st.sampled_from([None, *self.streams.verdicts]))
        if verdict is not None:
            for made in (THIEF.headers(verdict.data), {}):
                assert isinstance(self.host.hear(verdict.data, made), Refused)

    @precondition(lambda self: self.opened)
    @rule(data=st.data(), change=st.sampled_from(["", "host", "digest", "boot_id", "no end"]))
    def collector_errs(self, data: st.DataObject, change: str) -> None:
        """A verdict that is signed and nobody should have: the host looks for itself."""
        opened = self.opened[data.draw(st.sampled_from(sorted(self.opened)))]
        verdict = replace(
            verdict_on(self.host.journal[opened.hold], Answer.APPROVE),
            ground=data.draw(st.sampled_from(Ground)),
        )
        wrong = {
            "": {},
            "host": {"host": "f" * 32},
            "digest": {"digest": "other"},
            "boot_id": {"boot_id": "boot-0"},
            "no end": {"expires_boot_ns": 0},
        }[change]
        host_only = verdict.ground in (Ground.RULE, Ground.TIMEOUT_POLICY, Ground.EMERGENCY)
        waits = self.host.journal[opened.hold].waiting
        if waits and not host_only and (not wrong or not opened.deadline_boot_ns):
            return  # a good one
        data_, headers = _bytes(replace(verdict, **wrong), KEYS[0])  # type: ignore[arg-type]
        assert not isinstance(self.host.hear(data_, headers), Obey)

    # -- what must hold ------------------------------------------------------------------------

    @invariant()
    def every_release_has_its_ground(self) -> None:
        """And the ground is true, whatever was sent, by whom and in which order."""
        self.truth.check_releases()
        self.truth.check_orders()

    @invariant()
    def each_hold_is_in_one_request(self) -> None:
        """And those that wait in one request are alike, with the same votes."""
        for collector in self.collectors:
            if hasattr(collector, "book"):
                check_folds(collector.book.register)

    @invariant()
    def nobody_is_both_released_and_killed(self) -> None:
        """By the host, in the end."""
        assert not self.host.killed & set(self.host.released)

    @invariant()
    def an_end_stays_what_it_is(self) -> None:
        """Only the host's own word replaces what people decided, and nothing replaces that."""
        decisions = self.streams.decisions()
        for number, collector in enumerate(self.collectors):
            if not hasattr(collector, "book"):
                return
            for record in collector.book.register.all():
                key = (number, record.id)
                before = self.ends.get(key)
                if before is not None:  # a restart may forget what was not committed yet
                    assert record.state in (before, RequestState.OPEN) or record.decision
                if record.ended_by_host is not None:
                    self.ends[key] = record.ended_by_host
                if record.decision is not None:
                    assert record.decision == decisions[record.id]
                assert record.state is not RequestState.EXPIRED or _is_silence(record)

    # -- the end -------------------------------------------------------------------------------

    def settle_all(self, alive: tuple[int, ...]) -> None:
        """Let everything arrive, and time act, until nothing more comes of it."""
        for _ in range(4):
            while self.published < len(self.host.says):
                self.publishes()
            for number in alive:
                self.catches_up(number)
                self.run_(self.collectors[number].see_to_votes(), number)
            self.settles()
        self.every_release_has_its_ground()

    def agree(self) -> None:
        """Both collectors know the same."""
        known = [
            {one.id: one for one in collector.book.register.all()} for collector in self.collectors
        ]
        for request in known[0].keys() & known[1].keys():
            assert known[0][request] == known[1][request]

    def nothing_is_undecided(self, number: int) -> None:
        """A collector has seen to every vote that it knows of, if it was enough or a denial."""
        collector, decided = self.collectors[number], self.streams.decisions()
        for record in collector.book.register.unfinished():
            if record.state is RequestState.OPEN and record.id not in decided:
                assert record.id not in self.denied_at(number)
                assert collector.decider.settling.standing(record) is None

    def nothing_is_left(self, alive: tuple[int, ...]) -> None:
        """No votes that are enough are undecided, and no decision is without its verdict."""
        for number in alive:
            collector = self.collectors[number]
            self.nothing_is_undecided(number)
            for record in collector.book.register.unfinished():
                if record.wants_verdict:
                    subject = subjects.verdict(record.opened.host, record.hold)
                    assert subject in self.streams.first


def _is_silence(record: Record) -> bool:
    """Return whether it was silence, and no person, that ended a request."""
    if record.ended_by_host is RequestState.EXPIRED:
        return True
    decision = record.decision
    return decision is not None and not decision.by and decision.ground is Ground.TIMEOUT_POLICY


def _bytes(message: Any, signer: Signer | None = None) -> tuple[bytes, dict[str, str]]:
    data = encode(message)
    return data, signer.headers(data) if signer else {}


def _forged(opened: HoldOpened, stream: str) -> Vote | Decision:
    """Return an approval that nobody gave."""
    request = RequestId(opened.hold)
    if stream == subjects.VOTES:
        return Vote(
            vote=opened.hold,  # type: ignore[arg-type]
            request=request,
            by="bob@example.com",
            via="cli",
            answer=Answer.APPROVE,
            reason="x",
            digest=opened.digest,
            time_ns=1,
            counts_for=("", "dba", "security"),
        )
    return Decision(
        request=request,
        answer=Answer.APPROVE,
        ground=Ground.DECISION,
        by="bob@example.com",
        via="cli",
        reason="x",
        digest=opened.digest,
        votes=(),
        time_ns=1,
    )


_TROUBLE = ["agent", "collector", "policy", "forged", "process", "rules", "quarantine"]
TestSite = Site.TestCase
_USUAL = settings.get_profile("holdfast").max_examples
TestSite.settings = settings(stateful_step_count=60, max_examples=4 * _USUAL)

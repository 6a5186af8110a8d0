"""Two collectors and a host, with everything that can happen to them, in every order.

The parts are the real ones of both sides; NATS and the trail are in memory, so that a message can
be lost, doubled, late or unacknowledged, and either side killed, wherever that can happen. What
people said and who they are is kept apart, and every release is held against that.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from itertools import permutations
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
from collector.identity.people import Caller, Role
from collector.policy.model import Policy, PolicySet, Quota, Step
from tests.support.holds import verdict_on
from tests.support.model_host import ModelHost
from tests.support.model_site import NAMES, KilledError, ModelCollector, Streams
from tests.support.steady_ids import SteadyIds
from wire import subjects
from wire.codec import decode_as, encode
from wire.ids import RequestId, VoteId
from wire.messages import Answer, Decision, Ground, HoldOpened, OnTimeout, Vote
from wire.signing import Signer, Verifier

SECOND = 10**9
START = 1_780_000_000 * SECOND
KEYS = (Signer.from_seed("11" * 32, place="a"), Signer.from_seed("22" * 32, place="b"))
THIEF = Signer.from_seed("33" * 32, place="thief")
OWNER, LAUNCHER = "olga@example.com", "tom"


def _who(name: str, *groups: str, role: Role = Role.REVIEWER, **more: Any) -> Caller:
    return Caller(name, role, more.pop("logins", ()), "t", groups=groups, **more)


# Every account of each person.
PEOPLE: dict[str, tuple[Caller, ...]] = {
    "ann": (
        _who("ann@example.com", "dba", names=("Ann Smith", "s-1")),
        _who("Ann Smith", "security"),
        _who("ann.jones@example.com", "dba", "security", names=("s-1",)),  # renamed
    ),
    "bob": (_who("bob@example.com", "dba", "security"),),
    "cat": (_who("cat@example.com", "security", "duty"),),
    "leo": (_who("leo@example.com", "leads"),),
    "eve": (_who("eve@example.com"),),
    "olga": (
        _who("olga@example.com", "dba", "duty", role=Role.ADMIN),
        _who("Olga Root", "dba", names=("o-9",)),
        _who("olga@corp.example", "dba", names=("o-9",)),
    ),
    "tom": (_who("t.miller@example.com", "security", "duty", logins=("tom",)),),
    "ci": (_who("ci", "dba", "duty", machine=True),),
    "vic": (_who("vic@example.com", "dba", "duty", role=Role.VIEWER),),
}
MAY_NOT = {"olga", "tom", "ci", "vic"}
ACCOUNTS = [(person, one) for person, accounts in PEOPLE.items() for one in accounts]
REVIEWERS = [one for one in ACCOUNTS if one[0] not in MAY_NOT]
WHOSE = {one.name: person for person, one in ACCOUNTS}
GROUPS = {
    person: {group for one in accounts for group in one.groups}
    for person, accounts in PEOPLE.items()
}
ESCALATE = (Step(after_s=60, groups=("leads",)),)
POLICIES = {
    one.id: one
    for one in (
        Policy(id="anybody"),
        Policy(id="two", approve=(Quota(votes=2),), deadline_s=120),
        Policy(
            id="both",
            approve=(Quota(group="dba"), Quota(group="security")),
            escalate=ESCALATE,
            break_glass=("duty",),
        ),
        Policy(id="three", approve=(Quota(group="dba"), Quota(votes=2)), deadline_s=60),
    )
}


class Site(RuleBasedStateMachine):
    """What may happen; see the module."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = SteadyIds()
        self.runner = asyncio.Runner()
        self.time = START
        self.streams = Streams()
        verifier = Verifier(frozenset(key.key_id for key in KEYS))
        self.host = ModelHost(verifier.trusted)
        self.published = 0  # how many of the host's messages are in the stream
        self.opened: dict[RequestId, HoldOpened] = {}
        self.ends: dict[tuple[int, RequestId], RequestState] = {}
        people = [one for _, one in ACCOUNTS]
        self.collectors = [
            ModelCollector(self.streams, key, verifier, self.clock(skew), people)
            for key, skew in zip(KEYS, (0, 3 * SECOND), strict=True)
        ]

    def clock(self, skew: int) -> Any:
        """Return the clock of a collector."""
        return lambda: self.time + skew

    def run_(self, work: Coroutine[Any, Any, object], number: int = 0) -> None:
        """Do what a collector does; begin anew if it is killed over it."""
        try:
            self.runner.run(work)
        except KilledError:
            self.runner.run(self.collectors[number].start())
        except (Refusal, CentreError):
            pass

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
        self.holds(2, 1000, OnTimeout.KILL, 0)
        if told:
            self.publishes()
            self.catches_up(0)
            self.catches_up(1)

    # -- the host ------------------------------------------------------------------------------

    @precondition(lambda self: len(self.opened) < 3)
    @rule(
        pid=st.integers(2, 3),
        life=st.sampled_from([0, 100, 1000]),
        on_timeout=st.sampled_from(OnTimeout),
        off=st.sampled_from([0, 0, -3600, 3600]),
    )
    def holds(self, pid: int, life: int, on_timeout: OnTimeout, off: int) -> None:
        """The host stops an act and asks; its clock may be wrong."""
        opened = self.host.hold(
            pid=pid,
            owner=OWNER,
            login_user=LAUNCHER,
            opened_ns=self.time + off * SECOND,
            life_ns=life * SECOND,
            on_timeout=on_timeout,
        )
        self.opened[RequestId(opened.hold)] = opened

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

    @rule()
    def settles(self) -> None:
        """The host hears what there is for it, and carries out what is decided."""
        for verdict in self.streams.verdicts:
            self.host.hear(verdict.data, dict(verdict.headers))
        self.host.settle()

    @rule(data=st.data(), number=st.integers(0, 1))
    def trouble(self, data: st.DataObject, number: int) -> None:
        """What happens now and then."""
        what = data.draw(st.sampled_from(["agent", "collector", "policy", "forged", "process"]))
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

    def process_dies(self, data: st.DataObject) -> None:
        """By itself."""
        self.host.dies(data.draw(st.sampled_from(self.host.machine.processes())))

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
        """Deadlines and escalation."""
        self.run_(self.collectors[number].let_time_act(), number)

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

    @rule(data=st.data(), number=st.integers(0, 1), fault=st.sampled_from(["", "killed after"]))
    def glass_is_broken(self, data: st.DataObject, number: int, fault: str) -> None:
        """By somebody on duty; the collector may be killed before it can decide."""
        cat = [one for one in REVIEWERS if one[0] == "cat"]
        self.answer(data, number, Answer.APPROVE, True, cat, [fault])

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
    ) -> None:
        """Somebody gives an answer through a collector; `faults` are as in FaultyPublisher."""
        collector = self.collectors[number]
        shown = sorted(collector.book.register.all(), key=lambda one: one.opened.act.boot_ns)
        if not shown:
            return
        record = data.draw(st.sampled_from(shown))
        person, caller = data.draw(st.sampled_from(accounts))
        collector.publisher.faults = list(faults)
        said = len(self.streams.messages[subjects.VOTES])
        decider = collector.decider
        work = (
            decider.break_glass(caller, record, reason="fire", digest=None, via="cli")
            if glass
            else decider.decide(
                caller, record, answer=answer, reason="so", digest=record.opened.digest, via="cli"
            )
        )
        self.run_(work, number)
        collector.publisher.faults = []
        if person in MAY_NOT:
            assert len(self.streams.messages[subjects.VOTES]) == said

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
        """And the ground is true: people who may said so, or the rule says what silence does."""
        decisions = self.streams.decisions()
        votes = self.votes()
        for hold, release in self.host.released.items():
            opened, ground = self.opened[RequestId(hold)], release.grounds[hold]
            decision = decisions.get(RequestId(hold))
            if ground is Ground.TIMEOUT_POLICY:
                assert opened.rule.on_timeout is OnTimeout.RELEASE or (
                    self.host.journal[hold].on_timeout is OnTimeout.RELEASE
                )
                assert self.host.boot_ns >= opened.deadline_boot_ns > 0
                continue
            assert decision is not None and decision.answer is Answer.APPROVE
            assert decision.ground is ground
            counted = [votes[one] for one in decision.votes]
            assert all(
                one.request == RequestId(hold) and one.digest == opened.digest for one in counted
            )
            who = [WHOSE[one.by] for one in counted]
            assert not set(who) & MAY_NOT
            if ground is Ground.BREAK_GLASS:
                assert len(counted) == 1 and "duty" in GROUPS[who[0]]
                continue
            assert ground is Ground.DECISION
            assert all(one.answer is Answer.APPROVE for one in counted)
            assert len(set(who)) == len(who), "a person counts once"
            assert _enough(POLICIES[decision.policy], who)

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

    def votes(self) -> dict[VoteId, Vote]:
        """Return every vote that a collector has signed."""
        trusted = Verifier(frozenset(key.key_id for key in KEYS))
        found = {}
        for one in self.streams.messages[subjects.VOTES]:
            if one.headers.get("Holdfast-Key") in trusted.trusted:
                vote = decode_as(one.data, Vote)
                found[vote.vote] = vote
        return found

    def settle_all(self, alive: tuple[int, ...]) -> None:
        """Let everything arrive, and time act, until nothing more comes of it."""
        for _ in range(4):
            while self.published < len(self.host.says):
                self.publishes()
            for number in alive:
                self.catches_up(number)
                self.run_(self.collectors[number].see_to_votes(), number)
            for verdict in list(self.streams.verdicts):
                self.host.hear(verdict.data, dict(verdict.headers))
            self.host.settle()
        self.every_release_has_its_ground()

    def agree(self) -> None:
        """Both collectors know the same."""
        known = [
            {one.id: one for one in collector.book.register.all()} for collector in self.collectors
        ]
        for request in known[0].keys() & known[1].keys():
            assert known[0][request] == known[1][request]

    def nothing_is_left(self, alive: tuple[int, ...]) -> None:
        """No votes that are enough are undecided, and no decision is without its verdict."""
        for number in alive:
            collector = self.collectors[number]
            for record in collector.book.register.unfinished():
                assert not (
                    record.state is RequestState.OPEN
                    and collector.decider.settling.standing(record)
                )
                if record.wants_verdict:
                    subject = subjects.verdict(record.opened.host, record.hold)
                    assert subject in self.streams.first


def _enough(policy: Policy, who: list[str]) -> bool:
    """Return whether those people fill the places, tried out one way after another."""
    places = [quota.group for quota in policy.approve for _ in range(quota.votes)]
    leads = {group for step in policy.escalate for group in step.groups}
    return any(
        all(
            not place or place in GROUPS[one] or leads & GROUPS[one]
            for place, one in zip(places, order, strict=True)
        )
        for order in permutations(who, len(places))
    )


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


TestSite = Site.TestCase
_USUAL = settings.get_profile("holdfast").max_examples
TestSite.settings = settings(stateful_step_count=60, max_examples=4 * _USUAL)

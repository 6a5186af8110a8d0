"""Identical holds as one request: whoever folds how, each hold has the decision that is its own."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from collector.alike import alike
from collector.approvals.folds import MOST, fold_key
from collector.approvals.record import Outcome, Record, RequestState
from collector.approvals.register import Register
from collector.approvals.tally import decision_of, tally
from collector.card import render
from collector.policy.model import Quota
from tests.support.folding import check_folds
from tests.support.steady_ids import SteadyIds
from tests.support.wire_host import exec_act, opened, state
from wire.acts import Act, Guarantee
from wire.ids import HostId, RequestId, VoteId, new_id, request_of
from wire.messages import Answer, Decision, HoldOpened, HoldState, HoldStateName, Vote

HOST = HostId("a" * 32)
S = HoldStateName
TWO = (Quota(group="", votes=2),)


def _act(*argv: str, pid: int = 1, **changes: Any) -> Act:
    act = exec_act(*argv, inode=77, device=8, **changes)
    return replace(act, process=replace(act.process, pid=pid, start_ns=pid), tid=pid)


def _hold(*argv: str, pid: int = 1, **changes: Any) -> HoldOpened:
    return opened(HOST, act=_act(*argv, pid=pid, **changes))


def _vote(on: tuple[Record, ...], by: str = "ann", answer: Answer = Answer.APPROVE) -> Vote:
    first, *others = on
    return Vote(
        vote=VoteId(new_id()),
        request=first.alone.id,
        by=by,
        via="api",
        answer=answer,
        reason="r",
        digest=first.opened.digest,
        time_ns=1,
        also=tuple(one.hold for one in others),
        also_digests=tuple(one.opened.digest for one in others),
    )


def _register(*holds: HoldOpened) -> Register:
    register = Register()
    for hold in holds:
        register.opened(hold)
    return register


def _get(register: Register, hold: HoldOpened) -> Record:
    record = register.get(RequestId(hold.hold))
    assert record is not None
    return record


def _shown(register: Register, hold: HoldOpened) -> Record:
    return register.shown(_get(register, hold))


def test_what_differs_only_in_pid_and_time_is_one_request() -> None:
    """It has the id of the first, counts all, and says so in words."""
    first, second, third = (_hold("make", pid=pid) for pid in (1, 2, 3))
    (record,) = _register(first, second, third).requests()
    assert record.id == request_of(first.hold)
    assert [one.hold for one in record.holds] == [first.hold, second.hold, third.hold]
    said = alike(record)
    assert said.count == 3
    assert "3 identical, last at" in said.words
    assert said.words.endswith("3 waiting; one answer is for all that wait")


@pytest.mark.parametrize(
    "other",
    [
        _hold("make", "all"),
        _hold("make", cwd="/"),
        _hold("make", session="200-1"),
        _hold("make", login_user="bob"),
        _hold("make", environment={"LD_PRELOAD": "x"}),
        opened(HOST, act=_act("make"), owner="other@example.com"),
        opened(HostId("b" * 32), act=_act("make")),
        replace(_hold("make"), boot_id="another"),
    ],
)
def test_what_a_reviewer_would_see_to_differ_is_a_request_of_its_own(other: HoldOpened) -> None:
    """Another argument, directory, session, person, environment, owner, host or boot."""
    assert len(_register(_hold("make"), other).requests()) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"argv_cut": True},
        {"path_cut": True},
        {"path_resolved": False},
        {"guarantee": Guarantee.LATE},
        {"inode": 0},
        {"flags": ("shared",)},
    ],
)
def test_what_is_not_known_whole_is_like_nothing(changes: dict[str, Any]) -> None:
    """Two acts that are the same as far as they were read may differ in the rest."""
    hold = opened(HOST, act=replace(_act("make"), **changes))
    assert fold_key(hold) is None


def test_a_request_waits_for_as_long_as_one_of_its_holds_does() -> None:
    """Holds end in their own ways; the next one that waits stands for the request."""
    first, second, third = (_hold("make", pid=pid) for pid in (1, 2, 3))
    register = _register(first, second, third)
    register.state(state(first, 1, S.CANCELLED))
    record = _shown(register, third)
    assert (record.id, record.state, record.hold) == (
        request_of(first.hold),
        RequestState.OPEN,
        second.hold,
    )
    assert "1 cancelled" in alike(record).words
    vote = _vote(record.waiting)
    register.said(vote)
    for one in record.waiting:
        register.said(_decision(_get(register, one.opened)))
    register.state(state(second, 1, S.APPROVED))
    register.state(state(second, 2, S.RELEASED))
    record = _shown(register, first)
    assert (record.state, record.outcome, record.finished) == (RequestState.APPROVED, None, False)
    register.state(state(third, 1, S.RELEASED))
    record = _shown(register, first)
    assert (record.outcome, record.finished) == (Outcome.RELEASED, True)


def test_what_a_host_says_of_one_hold_is_on_the_card_of_all() -> None:
    """That further acts of the session were denied must not hide behind an identical hold."""
    first, second = _hold("make"), _hold("make", pid=2)
    register = _register(first, second)
    register.state(state(second, 1, S.HELD, detail="10 further acts were denied"))
    record = _shown(register, first)
    card = render(record.opened, record.states, record.decision, alike(record))
    assert "10 further acts were denied" in [fact.text for fact in card.facts]
    assert (card.count, card.facts[0].label) == (2, "Identical")


def test_nothing_is_folded_into_what_somebody_has_answered() -> None:
    """What comes after a vote was not seen by who voted, and what is decided takes in nothing."""
    first, second, third = (_hold("make", pid=pid) for pid in (1, 2, 3))
    register = _register(first)
    register.said(_vote(_get(register, first).holds))
    register.opened(second)
    assert _shown(register, second).id == request_of(second.hold)
    register.opened(third)
    assert _shown(register, third).id == request_of(second.hold), (
        "those that nobody has answered are one again"
    )


def test_a_hold_that_a_vote_does_not_name_becomes_a_request_of_its_own() -> None:
    """Another collector had not folded it; it is told of, with no vote on it."""
    first, second, third = (_hold("make", pid=pid) for pid in (1, 2, 3))
    register = _register(first, second, third)
    register.said(_vote((_get(register, first), _get(register, third))))
    assert {one.id for one in register.moved()} == {request_of(second.hold), request_of(third.hold)}
    assert _shown(register, third).id == request_of(first.hold)
    alone = _shown(register, second)
    assert (alone.id, alone.votes, alone.others) == (request_of(second.hold), (), ())


def test_a_request_grows_newer_also_when_a_hold_leaves_it() -> None:
    """The last word on it that anybody hears is the newest."""
    first, second = _hold("make"), _hold("make", pid=2)
    register = _register(first, second)
    for number in range(1, 9):
        register.state(state(second, number, S.HELD))
    before = _shown(register, first).length
    register.said(_vote((_get(register, first),)))
    assert _shown(register, first).length > before


def test_a_vote_counts_for_no_act_of_another_digest() -> None:
    """What a person was shown is what is decided, hold by hold."""
    first, second = _hold("make"), _hold("make", pid=2)
    register = _register(first, second)
    vote = _vote((_get(register, first), _get(register, second)))
    register.said(replace(vote, also_digests=("0" * 64,)))
    assert len(_get(register, first).votes) == 1
    assert _get(register, second).votes == ()


def test_a_request_has_no_more_holds_than_a_vote_can_name() -> None:
    """What comes beyond is the next request."""
    register = _register(*(_hold("make", pid=pid) for pid in range(MOST + 1)))
    assert sorted(len(one.holds) for one in register.requests()) == [1, MOST]


def _decision(record: Record) -> Decision:
    standing = tally(record.votes, (Quota(group="", votes=1),))
    return decision_of(record.id, standing, "p", record.opened.digest)


class Centre:
    """A collector that reads the streams at its own pace, and may be cut off at any point."""

    def __init__(self) -> None:
        self.register = Register()
        self.read = {"holds": 0, "votes": 0, "decisions": 0}

    def restart(self) -> None:
        """Begin again with what the trail has."""
        old = self.register
        self.register = Register()
        for messages in old._early.values():
            for message in messages:
                self.register.said(message)
        self.register.restore(old.all())
        self.read = {name: max(0, at - 2) for name, at in self.read.items()}


class Folding(RuleBasedStateMachine):
    """Two collectors, the streams between them, and hosts that do as they are told."""

    holds = Bundle("holds")

    @initialize(seed=st.integers(0, 1 << 16))
    def begin(self, seed: int) -> None:
        """Nothing has happened."""
        self.ids = SteadyIds(seed)
        self.centres = (Centre(), Centre())
        self.streams: dict[str, list[Any]] = {"holds": [], "votes": [], "decisions": []}
        self.decided: dict[str, Decision] = {}
        self.states: dict[str, int] = {}
        self.over: set[str] = set()
        for _ in range(3):
            self.streams["holds"].append(_hold("make", pid=len(self.streams["holds"]) + 1))

    @rule(target=holds, what=st.sampled_from(["make", "ls"]))
    def open(self, what: str) -> Any:
        """A process is stopped."""
        hold = _hold(what, pid=len(self.streams["holds"]) + 1)
        self.streams["holds"].append(hold)
        return multiple(hold)

    @rule(hold=holds)
    def cancel(self, hold: HoldOpened) -> None:
        """Its process goes away."""
        self._host(hold, S.CANCELLED)

    @rule(hold=holds)
    def obey(self, hold: HoldOpened) -> None:
        """The host acts on the verdict, if there is one; every release has a vote on this hold."""
        decision = self.decided.get(hold.hold)
        if decision is None or hold.hold in self.over:
            return
        assert decision.digest == hold.digest
        votes = [vote for vote in self.streams["votes"] if vote.vote in decision.votes]
        assert len(votes) == len(decision.votes) > 0
        for vote in votes:
            assert vote.digest_for(hold.hold) == hold.digest
        if decision.answer is Answer.APPROVE:
            assert len({vote.by for vote in votes}) == 2
        self._host(hold, S.RELEASED if decision.answer is Answer.APPROVE else S.KILLED)

    def _host(self, hold: HoldOpened, name: HoldStateName) -> None:
        if hold.hold not in self.over:
            self.over.add(hold.hold)
            self.streams["holds"].append(state(hold, 1, name))

    @rule(
        at=st.integers(0, 1),
        stream=st.sampled_from(["holds", "votes", "decisions"]),
        count=st.integers(1, 5),
    )
    def take(self, at: int, stream: str, count: int) -> None:
        """A collector reads on in one stream."""
        for _ in range(count):
            self._take(self.centres[at], stream)

    @rule(at=st.integers(0, 1))
    def catch_up(self, at: int) -> None:
        """A collector reads everything."""
        for stream in self.streams:
            while self._take(self.centres[at], stream):
                pass

    def _take(self, centre: Centre, stream: str) -> bool:
        messages = self.streams[stream]
        if centre.read[stream] >= len(messages):
            return False
        message = messages[centre.read[stream]]
        centre.read[stream] += 1
        match message:
            case HoldOpened():
                centre.register.opened(message)
            case HoldState():
                centre.register.state(message)
            case _:
                centre.register.said(message)
        return True

    @rule(
        at=st.integers(0, 1),
        pick=st.integers(0, 50),
        by=st.sampled_from(["ann", "bob", "eve"]),
        deny=st.integers(0, 9),
        killed=st.booleans(),
    )
    def answer(self, at: int, pick: int, by: str, deny: int, killed: bool) -> None:
        """A person answers a request; the collector may be killed before it decides."""
        centre = self.centres[at]
        waiting = [one for one in centre.register.requests() if one.waiting]
        if not waiting:
            return
        record = waiting[pick % len(waiting)]
        given = Answer.DENY if deny == 0 else Answer.APPROVE
        vote = _vote(record.waiting, by, given)
        self.streams["votes"].append(vote)
        centre.register.said(vote)
        if not killed:
            for one in record.waiting:
                self._decide(centre, one.id)

    @rule(at=st.integers(0, 1))
    def sweep(self, at: int) -> None:
        """Votes that were left are decided upon."""
        for record in self.centres[at].register.unfinished():
            self._decide(self.centres[at], record.id)

    def _decide(self, centre: Centre, hold: RequestId) -> None:
        record = centre.register.get(hold)
        if record is None or record.state is not RequestState.OPEN:
            return
        standing = tally(record.votes, TWO)
        if standing.answer is None:
            return
        decision = decision_of(record.id, standing, "p", record.opened.digest)
        if record.id not in self.decided:
            self.decided[record.id] = decision
            self.streams["decisions"].append(decision)
        centre.register.said(self.decided[record.id])

    @rule(at=st.integers(0, 1))
    def restart(self, at: int) -> None:
        """A collector is started again."""
        self.centres[at].restart()

    @invariant()
    def each_hold_is_in_one_request(self) -> None:
        """And those that wait in one request are alike, with the same votes."""
        for centre in getattr(self, "centres", ()):
            check_folds(centre.register)

    def teardown(self) -> None:
        """Once both have read everything they know the same, and nothing is lost or left."""
        if not hasattr(self, "centres"):
            return
        try:
            self._agree()
        finally:
            self.ids.end()

    def _agree(self) -> None:
        for _ in range(2):
            for number in range(2):
                self.catch_up(number)
                self.sweep(number)
        one, other = (centre.register for centre in self.centres)
        opened_holds = {m.hold for m in self.streams["holds"] if isinstance(m, HoldOpened)}
        assert {record.hold for record in one.all()} == opened_holds
        for record in one.all():
            assert other.get(record.id) == record
            assert record.decision == self.decided.get(record.id)


Folding.TestCase.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
TestFolding = Folding.TestCase

"""The state machine, fed with whatever order and repetition the streams may produce."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.approvals.record import Outcome, Record, RequestState
from collector.approvals.register import (
    Changed,
    Early,
    Register,
    Rejected,
    Same,
    Unasked,
    hosts_of,
)
from tests.support.wire_host import exec_act, opened, state
from wire.acts import act_digest
from wire.ids import HostId, RequestId, VoteId
from wire.messages import (
    Answer,
    Comment,
    Decision,
    Ground,
    HoldOpened,
    HoldState,
    HoldStateName,
    Vote,
)

HOST, OTHER = HostId("a" * 32), HostId("b" * 32)
HOLD = opened(HOST, hold="1" * 32)
S = HoldStateName


def _vote(number: int, answer: Answer = Answer.APPROVE, hold: HoldOpened = HOLD) -> Vote:
    return Vote(
        vote=VoteId(f"{number:032x}"),
        request=RequestId(hold.hold),
        by=f"person {number}",
        via="api",
        answer=answer,
        reason="because",
        digest=hold.digest,
        time_ns=number,
    )


def _comment(number: int) -> Comment:
    return Comment(
        comment=VoteId(f"{number + 1000:032x}"),
        request=RequestId(HOLD.hold),
        by="person",
        via="api",
        text=f"remark {number}",
        time_ns=number,
    )


def _decision(answer: Answer = Answer.APPROVE, by: str = "ann") -> Decision:
    return Decision(
        request=RequestId(HOLD.hold),
        answer=answer,
        ground=Ground.DECISION,
        by=by,
        via="api",
        reason="because",
        digest=HOLD.digest,
        votes=(),
        time_ns=5,
    )


def _feed(register: Register, message: object) -> object:
    match message:
        case HoldOpened():
            return register.opened(message)
        case HoldState():
            return register.state(message)
        case Vote() | Comment() | Decision():
            return register.said(message)
    raise AssertionError(message)


def _record(register: Register, hold: HoldOpened = HOLD) -> Record:
    record = register.get(RequestId(hold.hold))
    assert record is not None
    return record


@pytest.mark.parametrize(
    ("states", "decision", "wanted", "outcome", "finished"),
    [
        ([], None, RequestState.OPEN, None, False),
        ([S.HELD], None, RequestState.OPEN, None, False),
        ([], Answer.APPROVE, RequestState.APPROVED, None, False),
        ([], Answer.DENY, RequestState.DENIED, None, False),
        ([S.APPROVED], Answer.APPROVE, RequestState.APPROVED, None, False),
        (
            [S.APPROVED, S.RELEASED],
            Answer.APPROVE,
            RequestState.APPROVED,
            Outcome.RELEASED,
            True,
        ),
        ([S.DENIED, S.KILLED], Answer.DENY, RequestState.DENIED, Outcome.KILLED, True),
        ([S.DENIED, S.REFUSED], Answer.DENY, RequestState.DENIED, Outcome.REFUSED, True),
        ([S.EXPIRED], None, RequestState.EXPIRED, None, False),
        ([S.EXPIRED, S.KILLED], None, RequestState.EXPIRED, Outcome.KILLED, True),
        ([S.EXPIRED, S.RELEASED], None, RequestState.EXPIRED, Outcome.RELEASED, True),
        ([S.EXPIRED, S.KILLED], Answer.APPROVE, RequestState.EXPIRED, Outcome.KILLED, True),
        ([S.CANCELLED], None, RequestState.CANCELLED, None, True),
        ([S.CANCELLED], Answer.APPROVE, RequestState.CANCELLED, None, True),
        ([S.SUPERSEDED], None, RequestState.SUPERSEDED, None, True),
        ([S.APPROVED, S.CANCELLED], Answer.APPROVE, RequestState.APPROVED, None, True),
    ],
)
def test_a_request_stands_as_the_host_says_and_before_that_as_people_decided(
    states: list[HoldStateName],
    decision: Answer | None,
    wanted: RequestState,
    outcome: Outcome | None,
    finished: bool,
) -> None:
    """A decision is what people said; the end is what the host did."""
    register = Register()
    register.opened(HOLD)
    if decision is not None:
        register.said(_decision(decision))
    for sequence, name in enumerate(states, 1):
        register.state(state(HOLD, sequence, name))
    record = _record(register)
    assert (record.state, record.outcome) == (wanted, outcome)
    assert record.finished is finished


def test_a_late_answer_is_the_ground_of_nothing() -> None:
    """The host repeats its state to record the answer; the first word on the outcome stays."""
    register = Register()
    register.opened(HOLD)
    register.state(state(HOLD, 1, S.EXPIRED, ground=Ground.TIMEOUT_POLICY))
    register.state(state(HOLD, 2, S.KILLED, ground=Ground.TIMEOUT_POLICY))
    register.state(state(HOLD, 3, S.KILLED, detail="too late"))
    assert _record(register).ground is Ground.TIMEOUT_POLICY


def test_a_decision_wants_a_verdict_until_the_host_has_ended_the_wait() -> None:
    """What the host has ended on its own needs no verdict any more."""
    register = Register()
    register.opened(HOLD)
    assert not _record(register).wants_verdict
    register.said(_decision())
    assert _record(register).wants_verdict
    register.state(state(HOLD, 1, S.EXPIRED))
    assert not _record(register).wants_verdict


@pytest.mark.parametrize("name", [S.DENIED, S.KILLED])
def test_what_a_rule_denied_without_asking_is_for_the_trail_alone(name: S) -> None:
    """No hold was opened for it, so that nobody is shown it; by a person it cannot be so."""
    register = Register()
    word = replace(state(opened(HOST), 1, name), ground=Ground.RULE)
    assert register.state(word) == Unasked()
    assert register.get(RequestId(word.hold)) is None
    assert isinstance(register.state(replace(word, ground=Ground.DECISION)), Rejected)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (replace(HOLD, digest="0" * 64), "digest"),
        (replace(HOLD, host=OTHER), "another host"),
        (replace(HOLD, owner="someone else"), "before, with other facts"),
        (
            replace(HOLD, act=exec_act("true"), digest="0" * 64),
            "digest",
        ),
        (state(opened(HOST), 1, S.CANCELLED), "never opened"),
        (replace(state(HOLD, 2, S.CANCELLED), host=OTHER), "another host"),
        (state(HOLD, 0, S.CANCELLED), "starts at 1"),
        (state(HOLD, 1, S.RELEASED), "another one before"),
        (replace(_vote(1), digest="0" * 64), "another act"),
        (replace(_decision(), digest="0" * 64), "another act"),
        (_decision(Answer.DENY), "decided before"),
        (_decision(by="bob"), "decided before"),
    ],
)
def test_what_contradicts_is_rejected_and_changes_nothing(message: object, reason: str) -> None:
    """Each refusal says why, and the request stands as it stood."""
    register = Register()
    register.opened(HOLD)
    register.state(state(HOLD, 1, S.HELD))
    register.said(_decision())
    before = _record(register)
    outcome = _feed(register, message)
    assert isinstance(outcome, Rejected)
    assert reason in outcome.reason
    assert _record(register) == before


def test_another_digest_that_matches_its_act_still_cannot_replace_a_hold() -> None:
    """The act that was shown is the act that is decided: the first opening stays."""
    register = Register()
    register.opened(HOLD)
    act = exec_act("true")
    assert isinstance(register.opened(replace(HOLD, act=act, digest=act_digest(act))), Rejected)
    assert _record(register).opened == HOLD


def test_a_host_cannot_fill_the_memory_with_states_of_one_hold() -> None:
    """A hold has a handful of states; a flood is rejected."""
    register = Register()
    register.opened(HOLD)
    outcomes = [register.state(state(HOLD, number, S.HELD)) for number in range(1, 200)]
    assert isinstance(outcomes[-1], Rejected)
    assert len(_record(register).states) == 100


_FROM_HOST: tuple[object, ...] = (
    HOLD,
    state(HOLD, 1, S.HELD),
    state(HOLD, 2, S.APPROVED),
    state(HOLD, 3, S.RELEASED),
)
_FROM_PEOPLE: tuple[object, ...] = (
    _vote(1),
    _vote(2, Answer.DENY),
    _comment(1),
    _comment(2),
    _decision(),
)


@st.composite
def _deliveries(draw: st.DrawFn) -> list[object]:
    """Mix the streams: each host message in order, people's in any, anything again later."""
    people = draw(st.permutations(_FROM_PEOPLE))
    order = draw(st.permutations([True] * len(_FROM_HOST) + [False] * len(people)))
    host_left, people_left = list(_FROM_HOST), list(people)
    mixed: list[object] = []
    for from_host in order:
        mixed.append((host_left if from_host else people_left).pop(0))
        if draw(st.booleans()):
            mixed.append(draw(st.sampled_from(mixed)))
    return mixed


@given(_deliveries())
def test_order_between_streams_and_repetition_do_not_matter(deliveries: list[object]) -> None:
    """Votes may come before their hold and anything may come twice: the end is the same."""
    straight = Register()
    for message in (*_FROM_HOST, *_FROM_PEOPLE):
        assert isinstance(_feed(straight, message), Changed)
    mixed = Register()
    seen: list[object] = []
    for message in deliveries:
        outcome = _feed(mixed, message)
        if message in seen:
            assert isinstance(outcome, Same), message
        else:
            assert isinstance(outcome, Changed | Early), message
        seen.append(message)
    assert _record(mixed) == _record(straight)
    assert mixed.unfinished() == ()


@given(st.integers(0, len(_FROM_HOST + _FROM_PEOPLE)))
def test_a_restart_at_any_point_changes_nothing(cut: int) -> None:
    """What was restored from the trail and goes on with the streams ends like one run."""
    messages = (*_FROM_HOST[:1], *_FROM_PEOPLE, *_FROM_HOST[1:])
    whole = Register()
    for message in messages:
        _feed(whole, message)
    first = Register()
    for message in messages[:cut]:
        _feed(first, message)
    second = Register()
    second.restore(record for record in [first.get(RequestId(HOLD.hold))] if record)
    for message in messages[max(cut - 3, 0) :]:  # a few come again
        _feed(second, message)
    assert _record(second) == _record(whole)


def test_memory_keeps_everything_unfinished_and_only_the_newest_finished() -> None:
    """A year of finished requests does not fill the memory; one that waits is never forgotten."""
    register = Register(keep_finished=3)
    waiting = [opened(HOST) for _ in range(10)]
    done = [opened(OTHER) for _ in range(10)]
    for hold in (*waiting, *done):
        register.opened(hold)
    for hold in done:
        register.state(state(hold, 1, S.CANCELLED))
    assert {record.hold for record in register.unfinished()} == {hold.hold for hold in waiting}
    kept = [hold for hold in done if register.get(RequestId(hold.hold)) is not None]
    assert kept == done[-3:]
    assert hosts_of(register.unfinished()) == {HOST: 10}


def test_restoring_does_not_undo_what_is_newer_in_memory() -> None:
    """A record read from the trail while messages came in does not win over them."""
    register = Register()
    register.opened(HOLD)
    old = _record(register)
    register.said(_decision())
    register.restore([old])
    assert _record(register).decision == _decision()

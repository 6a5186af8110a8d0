"""Who may answer which request, with what."""

from dataclasses import replace
from typing import Any

import pytest

from collector.approvals.applied import Applied
from collector.approvals.checks import (
    LONGEST_REASON,
    MayDecide,
    check_answer,
    check_break_glass,
    check_caller,
    check_open,
    check_text,
    may_decide,
)
from collector.approvals.record import Record
from collector.errors import Refusal
from collector.identity.people import Caller, Role
from collector.policy.model import Policy, Quota, Step
from tests.support.wire_host import exec_act, opened, rule, state
from wire.ids import HostId, RequestId, VoteId
from wire.messages import Answer, Decision, Ground, HoldStateName, Vote

HOST = HostId("a" * 32)


def _caller(
    name: str = "ann@example.com", role: Role = Role.REVIEWER, logins: tuple[str, ...] = ()
) -> Caller:
    return Caller(name=name, role=role, logins=logins, token="t")  # noqa: S106 - an id, no secret


def _applied(record: Record, policy: Policy | None = None) -> Applied:
    chosen = policy or Policy(id="one-reviewer")
    required = chosen.reason_required(record.opened.rule)
    return Applied(chosen, record.opened.opened_ns, required)


def _may(record: Record, caller: Caller, policy: Policy | None = None) -> MayDecide:
    return may_decide(record, caller, _applied(record, policy), record.opened.opened_ns)


def _record(**options: Any) -> Record:
    return Record(opened(HOST, **options))


@pytest.mark.parametrize(
    ("role", "allowed"), [(Role.VIEWER, False), (Role.REVIEWER, True), (Role.ADMIN, True)]
)
def test_roles(role: Role, allowed: bool) -> None:
    """Viewers read; reviewers and admins decide."""
    assert _may(_record(), _caller(role=role)).allowed is allowed


@pytest.mark.parametrize(
    ("owner", "login_user"), [("Ann Example", ""), ("", "aexample"), ("bob, aexample@corp", "")]
)
def test_every_name_that_the_provider_gives_a_person_is_theirs(owner: str, login_user: str) -> None:
    """Also the display name and the account name, not only the one that the trail shows."""
    record = _record(owner=owner, act=exec_act(login_user=login_user))
    names = ("Ann Example", "aexample@example.com")
    caller = Caller("ann@example.com", Role.ADMIN, (), "t", names=names)
    with pytest.raises(Refusal) as refused:
        check_caller(record, caller, _applied(record), 0)
    assert refused.value.code == "own_request"
    other = Caller("bob.b@example.com", Role.REVIEWER, (), "t", names=("Bob B",))
    check_caller(record, other, _applied(record), 0)


@pytest.mark.parametrize("role", list(Role))
def test_a_machine_never_decides(role: Role) -> None:
    """Whatever role a mistake may give it, and before anything else is asked."""
    caller = Caller("ci", role, (), "t", machine=True, scopes=("asks:write",))
    with pytest.raises(Refusal) as refused:
        check_caller(_record(), caller, _applied(_record()), 0)
    assert refused.value.code == "machine_caller"
    assert not _may(_record(), caller).allowed


@pytest.mark.parametrize("role", [Role.REVIEWER, Role.ADMIN])
@pytest.mark.parametrize(
    ("owner", "login_user", "name", "logins"),
    [
        ("ann@example.com", "", "ann@example.com", ()),
        ("ANN@example.com ", "", "ann@Example.com", ()),
        ("", "ann", "ann@example.com", ()),
        ("", "ANN", "ann@example.com", ()),
        ("", "ann@example.com", "ann@example.com", ()),
        ("", "ann", "ann", ()),
        ("", "a.smith", "ann@example.com", ("bob", "A.Smith")),
        ("", "ﬁona", "fiona@example.com", ()),
        ("alice", "", "alice@example.com", ()),
        ("alice@example.com", "", "alice", ()),
        ("alice", "", "Alice Smith", ("alice",)),
        ("alice@example.com", "", "Alice Smith", ("alice",)),
        ("alice, bob", "", "alice@example.com", ()),
        ("bob; Alice", "", "alice@example.com", ()),
        ("bob@example.com and alice@example.com", "", "alice@example.com", ()),
        ("bob AND alice & carol", "", "carol", ()),
        ("jose\u0301", "", "jos\u00e9", ()),
        ("", "jos\u00e9", "jose\u0301@example.com", ()),
        ("", "EXAMPLE\\alice", "alice@example.com", ()),
        ("", "alice@corp.local", "alice@example.com", ()),
        ("", "EXAMPLE\\alice@corp.local", "Alice Smith", ("alice",)),
        ("", "alice", "x", ("EXAMPLE\\alice",)),
        ("EXAMPLE\\alice", "", "alice@example.com", ()),
        ("ops", "", "ann", ("ops",)),
    ],
)
def test_nobody_decides_their_own_and_admins_have_no_exemption(
    role: Role, owner: str, login_user: str, name: str, logins: tuple[str, ...]
) -> None:
    """The owner of the subject and whoever launched the session are requesters."""
    record = _record(owner=owner, act=exec_act(login_user=login_user))
    with pytest.raises(Refusal) as caught:
        check_caller(record, _caller(name, role, logins), _applied(record), 0)
    assert (caught.value.status, caught.value.code) == (403, "own_request")


@pytest.mark.parametrize(
    ("owner", "login_user"),
    [
        ("", ""),
        (" ; , ", "@"),
        ("team", "bob"),
        ("bob@example.com", "annabel"),
        ("anna and joanne", "joann"),
        ("brandann, roland", "example.com"),
    ],
)
def test_others_may(owner: str, login_user: str) -> None:
    """An empty owner or login user is nobody's."""
    record = _record(owner=owner, act=exec_act(login_user=login_user))
    assert _may(record, _caller()).allowed


def test_a_decided_request_tells_who_when_and_why() -> None:
    """The second answer is told of the first."""
    decision = Decision(
        request=RequestId("1" * 32),
        answer=Answer.DENY,
        ground=Ground.DECISION,
        by="ann",
        via="slack",
        reason="no",
        digest="",
        votes=(),
        time_ns=7,
    )
    with pytest.raises(Refusal) as caught:
        check_open(Record(opened(HOST), decision=decision))
    assert (caught.value.status, caught.value.code) == (409, "already_decided")
    assert caught.value.extra == {
        "decided_by": "ann",
        "answer": "deny",
        "ground": "decision",
        "decided_ns": 7,
        "reason": "no",
    }


def test_a_hold_that_the_host_let_go_on_its_own_takes_no_answer() -> None:
    """An emergency on the host ends the wait; who comes later is told."""
    hold = opened(HOST)
    states = (
        state(hold, 1, HoldStateName.APPROVED, ground=Ground.EMERGENCY),
        state(hold, 2, HoldStateName.RELEASED, ground=Ground.EMERGENCY, detail="panic"),
    )
    with pytest.raises(Refusal) as caught:
        check_open(Record(hold, states))
    assert caught.value.code == "already_decided"
    assert caught.value.extra["decided_by"] == "host web-1"
    assert caught.value.extra["answer"] == "approve"
    assert caught.value.extra["reason"] == "panic"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (HoldStateName.EXPIRED, "expired"),
        (HoldStateName.CANCELLED, "cancelled"),
        (HoldStateName.SUPERSEDED, "superseded"),
    ],
)
def test_gone_is_gone(name: HoldStateName, code: str) -> None:
    """Each end says its own name with 410."""
    hold = opened(HOST)
    with pytest.raises(Refusal) as caught:
        check_open(Record(hold, (state(hold, 1, name),)))
    assert (caught.value.status, caught.value.code) == (410, code)


def test_answers_are_about_what_was_shown_and_give_a_reason() -> None:
    """Digest and reason are checked; what the rule waives is waived."""
    record = _record()
    applied = _applied(record)
    check_answer(record, applied, reason="x", digest=None)
    check_answer(record, applied, reason="x", digest=record.opened.digest)
    with pytest.raises(Refusal, match="another act"):
        check_answer(record, applied, reason="x", digest="0" * 64)
    with pytest.raises(Refusal, match="asks for a reason"):
        check_answer(record, applied, reason="", digest=None)
    waived = _record(rule_facts=rule(reason_required=False))
    check_answer(waived, _applied(waived), reason="", digest=None)


def test_a_policy_says_itself_whether_a_reason_is_asked_for() -> None:
    """It may waive what the rule asks for, and ask for what the rule waives."""
    record, waived = _record(), _record(rule_facts=rule(reason_required=False))
    check_answer(record, _applied(record, Policy(id="p", reason=False)), reason="", digest=None)
    with pytest.raises(Refusal, match="the policy asks for a reason"):
        check_answer(waived, _applied(waived, Policy(id="p", reason=True)), reason="", digest=None)


def test_a_machine_decides_nothing_whatever_its_role() -> None:
    """An account of a program is refused, an administrator's too."""
    robot = replace(_caller("ci", Role.ADMIN), machine=True)
    with pytest.raises(Refusal) as caught:
        check_caller(_record(), robot, _applied(_record()), 0)
    assert (caught.value.status, caught.value.code) == (403, "machine_caller")


def test_only_people_of_the_groups_that_the_policy_asks_may_answer() -> None:
    """A reviewer of another group is refused, and told whom the policy asks."""
    record, policy = _record(), Policy(id="db", approve=(Quota(group="dba"),))
    with pytest.raises(Refusal, match="people of dba") as caught:
        check_caller(record, _caller(), _applied(record, policy), 0)
    assert caught.value.code == "not_approver"
    assert _may(record, replace(_caller(), groups=("dba",)), policy).allowed


def test_escalation_lets_others_stand_in_after_its_time_and_not_before() -> None:
    """A step's groups count for the groups that are asked, from its moment on."""
    record = _record()
    step = Step(after_s=60, groups=("leads",))
    applied = _applied(record, Policy(id="db", approve=(Quota(group="dba"),), escalate=(step,)))
    lead, opened_ns = replace(_caller(), groups=("leads",)), record.opened.opened_ns
    assert applied.counts_for(lead, opened_ns + 59 * 10**9) == ()
    assert applied.counts_for(lead, opened_ns + 60 * 10**9) == ("dba",)
    assert replace(applied, stuck="nobody").counts_for(lead, opened_ns) == ("dba",)


@pytest.mark.parametrize(
    ("groups", "reason", "code"),
    [((), "fire", "not_break_glass"), (("duty",), "", "reason_required"), (("duty",), "fire", "")],
)
def test_who_may_break_the_glass(groups: tuple[str, ...], reason: str, code: str) -> None:
    """Only those whom the policy names, and only with a reason."""
    record, caller = _record(), replace(_caller(), groups=groups)
    applied = _applied(record, Policy(id="db", reason=False, break_glass=("duty",)))
    if not code:
        check_break_glass(record, caller, applied, reason)
        return
    with pytest.raises(Refusal) as caught:
        check_break_glass(record, caller, applied, reason)
    assert caught.value.code == code


def test_breaking_the_glass_is_no_way_to_ones_own_request() -> None:
    """Who answers for the subject is refused here too."""
    record = _record(owner="ann@example.com")
    applied = _applied(record, Policy(id="db", break_glass=("duty",)))
    with pytest.raises(Refusal) as caught:
        check_break_glass(record, replace(_caller(), groups=("duty",)), applied, "fire")
    assert caught.value.code == "own_request"


def test_text_has_a_limit() -> None:
    """A reason is words, not a document."""
    assert check_text("  why  ", longest=LONGEST_REASON, name="reason") == "why"
    with pytest.raises(Refusal, match="more than 4000"):
        check_text("x" * 4001, longest=LONGEST_REASON, name="reason")


def test_who_has_approved_reads_who_is_still_asked() -> None:
    """A second approval would count for nothing; whoever has not voted may."""
    policy = Policy(id="two", approve=(Quota(group="dba"), Quota(group="security")))
    dba, security = (
        replace(_caller(name), groups=(group,))
        for name, group in (("dan@example.com", "dba"), ("sue@example.com", "security"))
    )
    record = _record()
    vote = Vote(
        vote=VoteId("v"),
        request=record.id,
        by=dba.name,
        via="web",
        answer=Answer.APPROVE,
        reason="fine",
        digest=record.opened.digest,
        time_ns=1,
        counts_for=("dba",),
    )
    record = replace(record, votes=(vote,))
    may = _may(record, dba, policy)
    assert (may.allowed, may.approved) == (False, True)
    assert may.why == "you have approved; still asked: 1 of security"
    assert _may(record, security, policy) == MayDecide(True, "")

"""Who else a caller is, and whether there is anybody who could approve."""

from dataclasses import replace

from collector.approvals.applied import Policies
from collector.approvals.crowd import Crowd
from collector.approvals.record import Record
from collector.identity.people import Caller, Role
from collector.policy.model import Policy, PolicySet, Quota, Step, Unknown
from tests.unit.collector.samples import NOON_NS, make_act, make_opened
from wire.acts import Act

SECOND = 10**9
BOTH = Policy(id="both", approve=(Quota(group="dba"), Quota(group="security")))


def who(name: str, *groups: str, role: Role = Role.REVIEWER, **more: tuple[str, ...]) -> Caller:
    """Return somebody who is known."""
    names, logins = more.get("names", ()), more.get("logins", ())
    return Caller(name, role, logins, "", groups=groups, names=names)


def record(act: Act | None = None, **given: object) -> Record:
    """Return an open request."""
    return Record(make_opened(act, **given))


def test_a_caller_is_everybody_who_shares_a_name() -> None:
    """Also by way of a third account, with the login users of each."""
    token = who("Ann Smith")
    known = Crowd(
        [
            token,
            who("a.smith@example.com", names=("Ann Smith", "s-1"), logins=("asmith",)),
            who("a.jones@example.com", names=("s-1",), logins=("ajones",)),
            who("bob", logins=("asmith",)),
        ]
    )
    whole = known.whole(token)
    assert {"a.smith@example.com", "a.jones@example.com", "s-1"} == set(whole.names)
    assert whole.logins == ("asmith", "ajones")
    assert known.whole(who("eve")) == who("eve")


def test_a_shared_login_user_makes_no_two_people_one() -> None:
    """Or a team that shares one could never make up a quorum."""
    known = Crowd([who("ann", logins=("ubuntu",)), who("bob", logins=("ubuntu",))])
    assert known.stuck(Policy(id="two", approve=(Quota(votes=2),)), record()) == ""


def test_one_person_with_two_accounts_is_not_two_who_could_approve() -> None:
    """Neither as a count, nor for two quotas."""
    ann = who("ann@example.com", "dba")
    again = who("ann", "security")
    two = Policy(id="two", approve=(Quota(votes=2),))
    assert Crowd([ann, again]).stuck(two, record()) == (
        "reviewers: 2 must approve, and 1 are known who may"
    )
    assert Crowd([ann, again]).stuck(BOTH, record()) == (
        "dba and security: 2 different people must approve, and 1 can"
    )
    assert Crowd([ann, again, who("bob", "dba")]).stuck(BOTH, record()) == ""


def test_only_the_requester_qualifies() -> None:
    """Then the request is stuck, and says so from the beginning."""
    anybody = Policy(id="one")
    olga = Crowd([who("olga@example.com"), who("vic", role=Role.VIEWER)])
    assert "0 are known" in olga.stuck(anybody, record())
    assert olga.stuck(anybody, record(owner="bob")) == ""
    number = record(make_act(login_uid=1234, login_user=""), owner="")
    assert "0 are known" in Crowd([who("zoe", logins=("1234",))]).stuck(anybody, number)


def test_a_requester_is_known_by_any_name_or_login_user_of_theirs() -> None:
    """Who is not cannot be refused as the one who asks, and that is said by name."""
    known = Crowd([who("ann@example.com", logins=("asmith", "1007")), who("bob", names=("b-7",))])
    asked = record(make_act(login_user="asmith", login_uid=5), owner="b-7@example.com; ann")
    assert known.unknown(asked) == ()
    assert known.unknown(record(make_act(login_user="", login_uid=1007), owner="bob")) == ()
    asked = record(make_act(login_user="eve", login_uid=5), owner="ann, octocat")
    assert known.unknown(asked) == ("octocat", "login user eve")
    assert known.unknown(record(make_act(login_user="", login_uid=9), owner="")) == (
        "login user 9",
    )
    assert known.unknown(record(make_act(login_user="", login_uid=None), owner="")) == ()
    strict = Policy(id="strict", unknown_requester=Unknown.REFUSE)
    assert known.stuck(strict, asked).startswith("octocat, login user eve: nobody")


def test_the_people_of_groups_are_each_named_once_by_the_name_they_sign_in_with() -> None:
    """Only who decides; whoever is left out is so under all their names."""
    known = Crowd(
        [
            who("dan-token", "dba", names=("dan@example.com",)),
            replace(who("dan@example.com"), signed_in=True),
            who("sue", "security", names=("s-1",)),
            who("leo", "leads"),
            who("vera", "dba", role=Role.VIEWER),
            replace(who("bot", "dba"), machine=True),
        ]
    )
    assert known.of_groups({"dba", "security"}) == ("dan@example.com", "sue")
    assert known.of_groups({"dba", "security"}, but=["S-1"]) == ("dan@example.com",)
    assert known.of_groups(set()) == ()


def test_a_hosts_clock_neither_lets_others_in_nor_puts_silence_off() -> None:
    """Times count from when the collector heard; another set of policies is asked anew."""
    known = (who("dan", "dba"), who("leo", "leads"))
    policies = Policies(None, host=lambda _, name: (name, {}), people=lambda: known)
    step = Step(after_s=60, groups=("leads",))
    asked = Policy(id="p", approve=(Quota(group="dba"),), deadline_s=100, escalate=(step,))
    policies.replace(PolicySet((asked,)))
    for off in (-3600, 3600):
        opened = make_opened(opened_ns=NOON_NS + off * SECOND)
        applied = policies.apply(Record(opened, heard_ns=NOON_NS))
        assert applied.deadline_ns == NOON_NS + 100 * SECOND
        assert applied.counts_for(known[1], NOON_NS + 59 * SECOND) == ()
        assert applied.counts_for(known[1], NOON_NS + 60 * SECOND) == ("dba",)
        assert not applied.late(NOON_NS + 99 * SECOND)
        assert applied.late(NOON_NS + 100 * SECOND)
    # The same id with another content: what was said of the old one is not said of it.
    policies.replace(PolicySet((Policy(id="p", approve=(Quota(group="ghosts"),)),)))
    assert "ghosts" in policies.apply(record()).stuck

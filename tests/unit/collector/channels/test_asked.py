"""What stands beside a card: who is asked, that nobody may, and whose request it is, if unknown."""

from collector.approvals.applied import Policies
from collector.approvals.record import Record
from collector.channels.asked import asked_by
from collector.identity.people import Caller, Role
from collector.policy.model import Policy, PolicySet, Quota, Unknown
from tests.unit.collector.samples import make_act, make_opened

ANN = Caller("ann@example.com", Role.REVIEWER, ("ann",), "", groups=("dba",))


def beside(policy: Policy, login: str) -> tuple[str, str]:
    """Return who is asked about a request of a login user, and why nobody may approve it."""
    policies = Policies(None, host=lambda _, name: (name, {}), people=lambda: (ANN,))
    policies.replace(PolicySet((policy,)))
    act = make_act(login_user=login, login_uid=1007)
    asked = asked_by(policies)(Record(make_opened(act, owner="olga@example.com")))
    assert asked is not None
    return asked.people, asked.stuck


def test_who_is_asked_and_whose_request_it_is() -> None:
    """A login user whom nobody is known to have is named; whoever has it could be any reviewer."""
    policy = Policy(id="p", approve=(Quota(group="dba"),))
    people, stuck = beside(policy, "asmith")
    assert people.startswith("1 of dba. Nobody known here is login user asmith, ")
    assert stuck == ""
    people, stuck = beside(policy, "ann")
    assert people == "1 of dba"
    assert stuck.startswith("group dba: 1 must approve, and 0 are known who may; ")


def test_a_policy_that_refuses_such_requests_makes_them_stuck() -> None:
    """The reason is the first thing that a reviewer reads of it."""
    _, stuck = beside(Policy(id="p", unknown_requester=Unknown.REFUSE), "asmith")
    assert stuck.startswith("login user asmith: nobody who is known")

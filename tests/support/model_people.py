"""Everybody of the model of approvals, under all their accounts, and the policies that ask them."""

from itertools import permutations
from typing import Any

from collector.identity.people import Caller, Role
from collector.policy.model import Policy, Quota, Step
from tests.support.model_site import OWNER

LAUNCHER = "tom"


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
        _who(OWNER, "dba", "duty", role=Role.ADMIN),
        _who("Olga Root", "dba", names=("o-9",)),
        _who("olga@corp.example", "dba", names=("o-9",)),
    ),
    "tom": (_who("t.miller@example.com", "security", "duty", logins=(LAUNCHER,)),),
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


def accounts_of(*people: str) -> list[tuple[str, Caller]]:
    """Return the first account of each of them."""
    return [(person, PEOPLE[person][0]) for person in people]


def enough(policy: Policy, who: list[str]) -> bool:
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

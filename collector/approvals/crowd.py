"""Everybody whom the centre knows, each person once, whatever names and accounts they have. Pure.

For two things: who else a caller is, and whether there is anybody at all who could approve.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from collector.approvals.own import own_request, requesters
from collector.approvals.record import Record
from collector.approvals.tally import seat
from collector.identity.names import apart, forms_of
from collector.identity.people import Caller
from collector.identity.signed_in import once
from collector.policy.model import Policy, Unknown

_KEPT = 4096  # answers, by policy and requester


@dataclass(frozen=True, slots=True)
class _Person:
    """One person: every caller that they can be."""

    callers: tuple[Caller, ...]

    @property
    def groups(self) -> frozenset[str]:
        """All groups of theirs; any reviewer's place is one for them too."""
        return frozenset(group for one in self.callers for group in ("", *one.groups))


class Crowd:
    """Those who are known at one moment."""

    def __init__(self, callers: Iterable[Caller] = ()) -> None:
        every = tuple(callers)
        # By names alone: a login user may be shared, and would make one person of a whole team.
        forms = [forms_of((one.name, *one.names)) for one in every]
        self._people = tuple(
            _Person(tuple(every[index] for index in mine)) for mine in apart(forms)
        )
        self._whose = {
            form: person
            for person in self._people
            for one in person.callers
            for form in forms_of((one.name, *one.names))
        }
        self._forms = frozenset(self._whose) | forms_of(
            login for one in every for login in one.logins
        )
        self._stuck: dict[tuple[str, str, str, int | None], str] = {}

    def whole(self, caller: Caller) -> Caller:
        """Return the caller with every name and login user that is theirs under another account."""
        mine = forms_of((caller.name, *caller.names))
        others = {id(self._whose[form]): self._whose[form] for form in mine if form in self._whose}
        every = [one for person in others.values() for one in person.callers]
        names = (name for one in every for name in (one.name, *one.names))
        logins = (login for one in every for login in one.logins)
        return replace(
            caller,
            names=tuple(name for name in once((*caller.names, *names)) if name != caller.name),
            logins=once((*caller.logins, *logins)),
        )

    def of_groups(self, groups: Collection[str], but: Collection[str] = ()) -> tuple[str, ...]:
        """Return the name of each person of any of these groups who decides.

        `but`: names of those who are left out, under whichever of their names.
        """
        found, left_out = [], forms_of(but)
        for person in self._people:
            deciding = [one for one in person.callers if one.role.decides and not one.machine]
            forms = forms_of(name for one in person.callers for name in (one.name, *one.names))
            if deciding and person.groups & set(groups) and not forms & left_out:
                # Accounts of channels are linked under the name of a sign-in, not of a token.
                signed_in = [one.name for one in deciding if one.signed_in]
                found.append((signed_in or [one.name for one in deciding])[0])
        return tuple(found)

    def stuck(self, policy: Policy, record: Record) -> str:
        """Return why nobody who is known can fill what a policy asks of a request, or ""."""
        act = record.opened.act
        key = (policy.id, record.opened.owner, act.login_user, act.login_uid)
        found = self._stuck.get(key)
        if found is None:
            if len(self._stuck) >= _KEPT:
                self._stuck.clear()
            found = self._stuck[key] = self._why_stuck(policy, record)
        return found

    def unknown(self, record: Record) -> tuple[str, ...]:
        """Return those whose request it is and whom nobody who is known can be told to be.

        Whoever they are, they cannot be refused as the one who asks. An address is what people sign
        in under: whose it is will be refused, also if they have not been here before.
        """
        return tuple(
            name
            for name, forms in requesters(record).items()
            if "@" not in name and not forms & self._forms
        )

    def _why_stuck(self, policy: Policy, record: Record) -> str:
        if policy.unknown_requester is Unknown.REFUSE and (unknown := self.unknown(record)):
            return f"{', '.join(unknown)}: nobody who is known, so whose request it is is not"
        able = [
            person.groups
            for person in self._people
            if any(one.role.decides and not one.machine for one in person.callers)
            and not any(own_request(record, one) for one in person.callers)
        ]
        for quota in policy.approve:
            count = sum(quota.group in groups for groups in able)
            if count < quota.votes:
                whom = f"group {quota.group}" if quota.group else "reviewers"
                return f"{whom}: {quota.votes} must approve, and {count} are known who may"
        places = [quota.group for quota in policy.approve for _ in range(quota.votes)]
        seated = len(seat(able, places))
        if seated < len(places):
            whom = " and ".join(once([quota.group or "reviewers" for quota in policy.approve]))
            return f"{whom}: {len(places)} different people must approve, and {seated} can"
        return ""

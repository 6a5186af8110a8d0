"""Whose request it is: nobody decides their own, administrators included. Pure."""

from collector.approvals.record import Record
from collector.identity.names import each_of, forms_of, forms_of_list
from collector.identity.people import Caller


def own_request(record: Record, caller: Caller) -> str | None:
    """Return why the request counts as the caller's own, or None."""
    if (why := own_subject(record.opened.owner, caller)) is not None:
        return why
    mine = forms_of((caller.name, *caller.names, *caller.logins))
    act = record.opened.act
    # The number too: the host may have no name for it, and then it is all that is known.
    number = "" if act.login_uid is None else str(act.login_uid)
    if mine & forms_of((act.login_user, number)):
        login = act.login_user or f"with the number {number}"
        return f"the session was started by login user {login}, who is you"
    return None


def requesters(record: Record) -> dict[str, frozenset[str]]:
    """Return whose request it is, as reviewers read it, each with the forms of their name."""
    act = record.opened.act
    found = {name: forms_of((name,)) for name in each_of(record.opened.owner)}
    if act.login_uid is not None or act.login_user:
        number = "" if act.login_uid is None else str(act.login_uid)
        name = f"login user {act.login_user or number}"
        found[name] = forms_of((act.login_user, number))
    return found


def own_subject(owner: str, caller: Caller) -> str | None:
    """Return why a subject counts as the caller's own, or None; `owner` may name several."""
    if forms_of((caller.name, *caller.names, *caller.logins)) & forms_of_list(owner):
        return f"{caller.name} answers for the subject that asks ({owner})"
    return None

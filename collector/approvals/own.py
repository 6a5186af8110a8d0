"""Whose request it is: nobody decides their own, administrators included. Pure."""

from collector.approvals.record import Record
from collector.identity.names import forms, forms_of, forms_of_list
from collector.identity.people import Caller


def own_request(record: Record, caller: Caller) -> str | None:
    """Return why the request counts as the caller's own, or None."""
    mine = forms_of((caller.name, *caller.names, *caller.logins))
    if mine & forms_of_list(record.opened.owner):
        return f"{caller.name} answers for the subject that asks ({record.opened.owner})"
    login = record.opened.act.login_user
    if mine & forms(login):
        return f"the session was started by login user {login}, who is you"
    return None

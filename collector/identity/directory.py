"""Everybody who is known at the centre, for telling whether a request has anybody to wait for."""

import time
from pathlib import Path

from collector.identity.people import Caller, TokenKind, list_tokens
from collector.identity.signed_in import lasting_names, list_people


def known_people(database: Path) -> tuple[Caller, ...]:
    """Return who could prove who they are now, as callers without a proof; it may block."""
    now = time.time_ns()
    signed_in = (
        Caller(one.name, one.role, one.logins, "", groups=one.groups, names=lasting_names(one))
        for one in list_people(database)
        if one.known_until_ns > now
    )
    with_tokens = (
        Caller(one.name, one.role, one.logins, "", groups=one.groups)
        for one in list_tokens(database)
        if one.kind is TokenKind.PERSONAL and one.state(now) == "valid"
    )
    return (*signed_in, *with_tokens)

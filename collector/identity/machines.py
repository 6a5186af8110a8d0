"""Tokens of machines: a CI job, an orchestrator. They have scopes and an end, and never decide."""

import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from collector.errors import StateError
from collector.identity.people import DAY_NS, TokenKind, check_name, store_token
from collector.identity.roles import Role
from collector.identity.signed_in import once

_LONGEST_DAYS = 366


class Scope(StrEnum):
    """What a machine may do. There is none for deciding or commenting."""

    REQUESTS_READ = "requests:read"
    TRAIL_READ = "trail:read"
    ASKS_WRITE = "asks:write"


def create_machine_token(
    database: Path,
    *,
    name: str,
    scopes: Sequence[Scope],
    days: int | None,
    responsible: Sequence[str] = (),
) -> str:
    """Return a new token, which is shown this once; raise StateError without scopes or an end.

    `responsible`: who answers for what the machine asks; there is no asking without.
    """
    check_name(name)
    if not scopes:
        known = ", ".join(Scope)
        raise StateError(f"--scope: say what {name} may do, once for each of: {known}")
    if days is None or not 1 <= days <= _LONGEST_DAYS:
        raise StateError(
            f"--days: the token of a machine ends; say after how many days, 1 to {_LONGEST_DAYS}"
        )
    for person in responsible:
        check_name(person, option="--responsible")
    if Scope.ASKS_WRITE in scopes and not responsible:
        raise StateError(
            f"--responsible: say who answers for what {name} asks, and so cannot approve it; "
            "may be repeated"
        )
    return store_token(
        database,
        name=name,
        role=Role.VIEWER,
        expires_ns=time.time_ns() + days * DAY_NS,
        kind=TokenKind.MACHINE,
        scopes=once([scope.value for scope in scopes]),
        responsible=once(responsible),
    )

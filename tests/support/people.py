"""People who have signed in, for tests that are about what comes after."""

import time
from pathlib import Path

from collector.identity.roles import Role
from collector.identity.signed_in import Identity, Person, remember

HOUR_NS = 3_600 * 10**9


def identity(name: str = "ann@example.com", **changes: object) -> Identity:
    """Return what a sign-in of a reviewer proves, with some of it changed."""
    facts: dict[str, object] = {
        "issuer": "https://id.example.com",
        "subject": f"sub-{name}",
        "name": name,
        "role": Role.REVIEWER,
        "groups": ("sre",),
        "authenticated_ns": time.time_ns(),
        **changes,
    }
    return Identity(**facts)  # type: ignore[arg-type]


def signed_in(
    database: Path, name: str = "ann@example.com", *, known_ns: int = HOUR_NS, **changes: object
) -> Person:
    """Return a person who has just signed in."""
    return remember(database, identity(name, **changes), known_until_ns=time.time_ns() + known_ns)

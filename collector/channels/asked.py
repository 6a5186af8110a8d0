"""Who is asked about a request at this moment, and whether nobody may approve it, in words.

It stands beside the card: it is the centre's to say and changes with time, policy and people.
"""

import time
from collections.abc import Callable

from collector.approvals.applied import Policies
from collector.approvals.record import Record, RequestState
from collector.approvals.tally import missing_words
from collector.channels.interface import Asked
from collector.sanitize import clean

_LIMIT = 400
_REMEDY = "have whoever is missing sign in once, or change the policy"


def asked_by(
    policies: Policies, clock: Callable[[], int] = time.time_ns
) -> Callable[[Record], Asked | None]:
    """Return what says who is asked; None for a request that waits for nobody's answer."""

    def of(record: Record) -> Asked | None:
        if record.state is not RequestState.OPEN:
            return None
        applied = policies.apply(record)
        people = missing_words(applied.policy.approve)
        if others := applied.stand_ins(clock()):
            people += f"; {' and '.join(sorted(others))} may stand in"
        if applied.unknown:
            names = " and ".join(applied.unknown)
            people += f". Nobody known here is {names}, so whoever it is cannot be refused"
        stuck = f"{applied.stuck}; {_REMEDY}" if applied.stuck else ""
        return Asked(clean(people, _LIMIT).text, clean(stuck, _LIMIT).text)

    return of

"""Which grants Slack offers beside an approval, and how one is given: a choice of a short list."""

from collections.abc import Sequence

from collector.approvals.record import Record
from collector.config import Grants
from collector.errors import Refusal
from collector.identity.people import Caller
from collector.orders.issue import Issuer
from collector.orders.terms import Terms, grantable_by
from collector.orders.words import time_words

# Minutes and uses, the least first. A list may stay open while the limits stay as they are.
_CHOICES = ((15, 1), (15, 5), (60, 5), (60, 20))


class ForATime:
    """Gives grants by the collector's own limits, for the session that asked."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._terms = choices(issuer.limits)

    def lives(self, record: Record) -> Sequence[str]:
        """Return the times to choose from, in words; none if the act may have no grant."""
        if grantable_by(record) is not None:
            return ()
        return [time_words(terms.wanted) for terms in self._terms]

    async def approve(
        self,
        caller: Caller,
        record: Record,
        *,
        life: int,
        reason: str,
        digest: str,
        via: str,
        card: str,
    ) -> Record:
        """Approve with a grant of the chosen time; raise Refusal."""
        if not 0 <= life < len(self._terms):
            raise Refusal(422, "no_grant", "that time is not offered", "choose one of the list")
        decided, _ = await self._issuer.approve_for_a_time(
            caller,
            record,
            self._terms[life],
            reason=reason,
            digest=digest,
            via=via,
            card=card,
        )
        return decided


def choices(limits: Grants) -> tuple[Terms, ...]:
    """Return what is offered: the usual choices, each cut to what may be given, each once."""
    cut = (
        (min(minutes, limits.longest_minutes), min(uses, limits.most_uses))
        for minutes, uses in _CHOICES
    )
    return tuple(Terms(minutes=minutes, uses=uses) for minutes, uses in dict.fromkeys(cut))

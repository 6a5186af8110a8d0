"""What a grant covers, as people may see it, secrets redacted as on the card of its request; and
for which time somebody has approved one.
"""

from collector.commandtext import one_line
from collector.sanitize import clean
from collector.trail.orders import what
from collector.words import count
from wire.acts import Kind
from wire.messages import Vote, WantedGrant
from wire.orders import Covered


def covered_words(covers: Covered, limit: int) -> str:
    """Return the command, path or address in about `limit` characters, safe to show."""
    if covers.kind is Kind.EXEC:
        return one_line(covers.argv, limit)
    return clean(what(covers), limit).text


def time_words(wanted: WantedGrant) -> str:
    """Return how long, how often and, unless it is of one session, for whom."""
    often = "once" if wanted.uses == 1 else f"{wanted.uses} times"
    whom = ", every session of the subject" if wanted.whole_subject else ""
    return f"{count(wanted.minutes, 'minute')}, {often}{whom}"


def for_a_time(vote: Vote) -> str:
    """Return for which time an approval is, as it stands behind it; empty if for this once."""
    return "" if vote.grant is None else f" for {time_words(vote.grant)}"

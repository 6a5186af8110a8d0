"""What a grant covers, as people may see it: secrets redacted, as on the card of its request."""

from collector.commandtext import one_line
from collector.sanitize import clean
from collector.trail.orders import what
from wire.acts import Kind
from wire.orders import Covered


def covered_words(covers: Covered, limit: int) -> str:
    """Return the command, path or address in about `limit` characters, safe to show."""
    if covers.kind is Kind.EXEC:
        return one_line(covers.argv, limit)
    return clean(what(covers), limit).text

"""The [asks] section: how much one asker may ask, for how long, and how little it may matter."""

from dataclasses import dataclass

from wire.messages import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class AskSettings:
    """Times are seconds. A severity outside of the two bounds is moved to the nearer one.

    `open_per_asker`: how many asks of one name may wait at a time. `waiting`: how many clients may
    wait for answers at a time.
    """

    timeout_s: int = 3600
    longest_timeout_s: int = 86_400
    least_severity: Severity = Severity.MEDIUM
    most_severity: Severity = Severity.CRITICAL
    open_per_asker: int = 50
    waiting: int = 1024


def bounded(wanted: Severity, settings: AskSettings) -> Severity:
    """Return the severity that counts: an asker cannot make it matter less than the centre says."""
    order = list(Severity)
    least, most = order.index(settings.least_severity), order.index(settings.most_severity)
    return order[max(least, min(most, order.index(wanted)))]

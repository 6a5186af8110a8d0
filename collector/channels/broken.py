"""What people are told when somebody has broken the glass: who, why, and what for. Pure."""

from collector.channels.interface import Notice
from collector.progress import clock
from collector.sanitize import clean

_NAME_LIMIT = 80
_REASON_LIMIT = 1000


def headline(notice: Notice) -> str:
    """Return who let it go, without those whom the policy asks; "" if nobody broke the glass."""
    decision = notice.decision
    if decision is None or not notice.glass_broken:
        return ""
    by = clean(decision.by, _NAME_LIMIT).text
    return (
        f"Break-glass: {by} let it go at {clock(decision.time_ns)} without the people whom the "
        "policy asks."
    )


def alarm_lines(notice: Notice) -> tuple[str, ...]:
    """Return what whoever was passed over is told, a line each; none if nobody broke the glass."""
    decision = notice.decision
    if decision is None or not notice.glass_broken:
        return ()
    return (
        headline(notice),
        f"Why: {clean(decision.reason, _REASON_LIMIT).text}",
        f"What: {notice.card.title}",
        f"Now: {notice.card.state_line}",
    )

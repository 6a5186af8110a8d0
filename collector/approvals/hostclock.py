"""What a host's boot clock shows at a moment of the centre's, as far as that is known here. Pure.

A verdict or a grant that is to end before its hold does names that clock, which no one can set.
"""

from collector.approvals.record import Record

# Beyond any clock, and such that what is added to it still fits into a message.
_LATEST_NS = 1 << 61


def boot_ns_at(record: Record, time_ns: int) -> int:
    """Return the boot clock of a hold's host at `time_ns`, since the epoch by the centre's clock.

    The act has both clocks of the host. Whichever is earlier counts as the beginning: the act by
    the host's clock, which may be ahead, or when the centre heard of it, which may be long after.
    """
    act = record.opened.act
    began_ns = min(act.time_ns, record.heard_ns or act.time_ns)
    passed_ns = max(0, time_ns - began_ns)
    return min(_LATEST_NS, act.boot_ns + passed_ns)

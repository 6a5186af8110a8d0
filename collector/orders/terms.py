"""For how long, how often and for whom a grant is asked, and whether one may be made. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from collector.approvals.record import Record
from collector.config import Grants
from collector.errors import Refusal
from collector.policy.model import Policy
from wire.acts import Kind
from wire.grantable import why_never
from wire.ids import HostId, OrderId, new_id
from wire.messages import Decision
from wire.orders import Grant, covered

_MINUTE_NS = 60 * 1_000_000_000


class Scope(StrEnum):
    """Whose later acts a grant covers."""

    SESSION = "session"  # of the AI session that asked
    SUBJECT = "subject"  # of every session of the subject on that host


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What "approve for a time" means."""

    minutes: int
    uses: int
    scope: Scope = Scope.SESSION


def grantable(record: Record) -> str | None:
    """Return why a request cannot be approved for a time, None if it can."""
    opened = record.opened
    if opened.grant is not None:
        return "a grant covers it already"
    if (why := why_never(opened.act)) is not None:
        return why
    if opened.not_grantable:
        return opened.not_grantable
    if opened.act.kind is Kind.EXEC and opened.program is None:
        return "its host has not said which file its program is"
    return None


def grantable_under(record: Record, policy: Policy) -> str | None:
    """Return why nobody is offered to approve a request for a time, None if they are."""
    if policy.asks_several:
        return "its policy asks several people, and they speak of this request alone"
    return grantable(record)


def check_terms(record: Record, terms: Terms, limits: Grants) -> None:
    """Raise Refusal unless such a grant may be made for a request."""
    if (why := grantable(record)) is not None:
        raise Refusal(
            422, "not_grantable", f"no grant covers this: {why}", "approve it once, without a grant"
        )
    for name, value, most in (
        ("minutes", terms.minutes, limits.longest_minutes),
        ("uses", terms.uses, limits.most_uses),
    ):
        if not 1 <= value <= most:
            raise Refusal(
                422,
                "grant_limits",
                f"{name} must be from 1 to {most}, not {value}",
                "ask for less; the limits are in the collector's [grants]",
            )


def make_grant(record: Record, decision: Decision, terms: Terms, now_ns: int) -> Grant:
    """Return the grant of a decision.

    The host's boot clock is known from the act alone, so what has passed since is taken from the
    clocks of host and centre, and never as more than the hold could have waited.
    """
    opened, act = record.opened, record.opened.act
    passed_ns = max(0, now_ns - act.time_ns)
    if opened.deadline_boot_ns:
        passed_ns = min(passed_ns, max(0, opened.deadline_boot_ns - act.boot_ns))
    life_ns = passed_ns + terms.minutes * _MINUTE_NS
    return Grant(
        order=OrderId(new_id()),
        host=HostId(opened.host),
        subject=act.subject,
        session=act.session if terms.scope is Scope.SESSION else "",
        covers=covered(act, opened.rule.id, opened.program),
        uses=terms.uses,
        boot_id=opened.boot_id,
        expires_boot_ns=act.boot_ns + life_ns,
        expires_ns=act.time_ns + life_ns,
        request=record.id,
        by=decision.by,
        via=decision.via,
        reason=decision.reason,
        time_ns=now_ns,
    )

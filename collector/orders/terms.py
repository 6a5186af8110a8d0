"""For how long, how often and for whom a grant is asked, and whether one may be made. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from collector.approvals.hostclock import boot_ns_at
from collector.approvals.record import Record
from collector.config import Grants
from collector.errors import Refusal
from wire.acts import Kind
from wire.grantable import why_never
from wire.ids import HostId, OrderId
from wire.messages import Answer, Decision, Ground, Vote, WantedGrant
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

    @property
    def wanted(self) -> WantedGrant:
        """The same, as a vote says it."""
        return WantedGrant(
            minutes=self.minutes, uses=self.uses, whole_subject=self.scope is Scope.SUBJECT
        )

    @classmethod
    def of(cls, wanted: WantedGrant) -> "Terms":
        """Return what a vote has said."""
        scope = Scope.SUBJECT if wanted.whole_subject else Scope.SESSION
        return cls(minutes=wanted.minutes, uses=wanted.uses, scope=scope)


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


def grantable_by(record: Record) -> str | None:
    """Return why nobody is offered to approve a request for a time, None if they are."""
    once = next((vote for vote in _approvals(record.votes) if vote.grant is None), None)
    if once is not None:
        return f"{once.by} has approved it for this once"
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


def narrowest(votes: Sequence[Vote]) -> WantedGrant | None:
    """Return what all those who approve have asked for: of each thing the least that anyone did.

    None if anybody approves for this once.
    """
    wanted = [vote.grant for vote in _approvals(votes)]
    asked = [one for one in wanted if one is not None]
    if not asked or len(asked) < len(wanted):
        return None
    return WantedGrant(
        minutes=min(one.minutes for one in asked),
        uses=min(one.uses for one in asked),
        whole_subject=all(one.whole_subject for one in asked),
    )


def grant_of(hold: Record) -> Grant | None:
    """Return the grant that the votes on one hold have come to, None if they come to none.

    It is the same, its id included, whoever makes it, and there is one for the vote that decided:
    for the hold that stood for the request then.
    """
    decision = hold.decision
    if decision is None or decision.answer is not Answer.APPROVE or not decision.votes:
        return None
    known = {vote.vote: vote for vote in hold.votes}
    last = known.get(decision.votes[-1])
    if decision.ground is not Ground.DECISION or last is None or last.request != hold.id:
        return None
    wanted = narrowest([vote for vote in hold.votes if vote.time_ns <= decision.time_ns])
    if wanted is None or grantable(hold) is not None:
        return None
    return _grant(hold, decision, wanted)


def _approvals(votes: Sequence[Vote]) -> list[Vote]:
    return [
        vote for vote in votes if vote.answer is Answer.APPROVE and vote.ground is Ground.DECISION
    ]


def _grant(hold: Record, decision: Decision, wanted: WantedGrant) -> Grant:
    """Return the grant of a decision; it begins with that, and never after the hold's end."""
    opened, act = hold.opened, hold.opened.act
    begins_boot_ns = boot_ns_at(hold, decision.time_ns)
    if opened.deadline_boot_ns:
        begins_boot_ns = max(act.boot_ns, min(begins_boot_ns, opened.deadline_boot_ns))
    expires_boot_ns = begins_boot_ns + wanted.minutes * _MINUTE_NS
    name = f"grant {hold.id} {decision.votes[-1]}".encode()
    return Grant(
        order=OrderId(hashlib.sha256(name).hexdigest()[:32]),
        host=HostId(opened.host),
        subject=act.subject,
        session="" if wanted.whole_subject else act.session,
        covers=covered(act, opened.rule.id, opened.program),
        uses=wanted.uses,
        boot_id=opened.boot_id,
        expires_boot_ns=expires_boot_ns,
        expires_ns=act.time_ns + expires_boot_ns - act.boot_ns,
        request=hold.id,
        by=decision.by,
        via=decision.via,
        reason=decision.reason,
        time_ns=decision.time_ns,
    )

"""What every click and command of Slack goes through: who, which request, and the one decision.

A button carries a request, and of its card the nonce and the digest; all else is read anew from the
store.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from collector.approvals import checks
from collector.approvals.applied import Policies
from collector.approvals.book import Book
from collector.approvals.capped import Capped, CappedSessions
from collector.approvals.decide import Decider
from collector.approvals.deny_session import denied_words, deny_session
from collector.approvals.record import Record, RequestState
from collector.channels.broken import headline
from collector.channels.interface import Notice, Route
from collector.channels.notices import Notices
from collector.channels.slack.blocks import Carried, Showing, message
from collector.channels.slack.door import CHANNEL, Door, Sender
from collector.channels.slack.places import OWNER
from collector.channels.slack.words import vote_line
from collector.channels.store import Cards
from collector.errors import Refusal, StateError
from collector.identity.people import Caller
from collector.orders.desk import OrderDesk
from collector.web.settings import quarantine_url, request_url
from wire.acts import Kind
from wire.ids import RequestId
from wire.messages import Answer


class Grants(Protocol):
    """What can be approved for a time, so that the same act is not asked about again."""

    def lives(self, record: Record) -> Sequence[str]:
        """Return the times to choose from, in words; none if the act may have no grant."""

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


@dataclass(frozen=True, slots=True)
class Extras:
    """What comes from outside the request: grants for its act, and orders beside it."""

    grants: Grants | None = None
    orders: OrderDesk | None = None

    def lives(self, record: Record) -> Sequence[str]:
        """Return the times that a grant for this act may have."""
        return () if self.grants is None else self.grants.lives(record)


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts behind the clicks; `base_url` is the address of the pages."""

    book: Book
    decider: Decider
    policies: Policies
    cards: Cards
    notices: Notices
    door: Door
    base_url: str
    extras: Extras = field(default_factory=Extras)

    async def of_button(self, carried: str) -> Record:
        """Return the request of a button; raise Refusal unless its nonce is of that request."""
        record = await self.book.get(await self._proved(carried))
        if record is None:
            raise _unknown()
        return record

    async def session_of_button(self, carried: str) -> Capped:
        """Return the session of a button; raise Refusal unless its nonce is of that summary."""
        capped = await CappedSessions(self.book).find(await self._proved(carried))
        if capped is None:
            raise _unknown()
        return capped

    async def deny_session(self, caller: Caller, capped: Capped, reason: str, card: str) -> str:
        """Deny all of a session that waits; return what came of it, or raise Refusal.

        `card` is the digest of the summary as it was shown, "" if that is not known.
        """
        done = await deny_session(
            self.decider, capped, caller, reason=reason, via=CHANNEL, card=card
        )
        return denied_words(done)

    async def _proved(self, carried: str) -> RequestId:
        of = Carried.parse(carried)
        try:
            known = bool(of.nonce) and await self.cards.belongs(of.request, of.nonce, CHANNEL)
        except StateError as error:
            raise Refusal(
                503, "cards_unavailable", "the record of cards cannot be read", "use the page"
            ) from error
        if not known:
            raise _unknown()
        return of.request

    def reason_needed(self, record: Record) -> bool:
        """Say whether an answer must say why, by the rule and the policy."""
        return self.policies.apply(record).reason_required

    async def check(self, sender: Sender, record: Record) -> Caller:
        """Return who may answer this request; raise Refusal with why nobody or not they."""
        caller = await self.door.admit(sender)
        checks.check_caller(record, caller, self.policies.apply(record), time.time_ns())
        checks.check_open(record)
        return caller

    async def decide(
        self,
        caller: Caller,
        record: Record,
        answer: Answer,
        reason: str,
        life: int | None = None,
        *,
        card: str = "",
    ) -> Record:
        """Answer a request as its card shows it; raise Refusal. `life` is for a grant.

        `card` is the digest of the card as it was shown, "" if that is not known.
        """
        if answer is Answer.APPROVE and self.hides(record):
            raise Refusal(
                403,
                "not_all_shown",
                "not all of the act fits into Slack, so it cannot be approved here",
                f"read all of it: {self.link(record)}",
            )
        digest = record.opened.digest
        if life is None:
            return await self.decider.decide(
                caller,
                record,
                answer=answer,
                reason=reason,
                digest=digest,
                via=CHANNEL,
                card=card,
            )
        lives = self.extras.lives(record)
        if self.extras.grants is None or not 0 <= life < len(lives):
            raise Refusal(403, "no_grant", "this cannot be approved for a time", "approve it once")
        return await self.extras.grants.approve(
            caller, record, life=life, reason=reason, digest=digest, via=CHANNEL, card=card
        )

    def hides(self, record: Record) -> bool:
        """Say whether a card in Slack leaves out any of the act."""
        return message(self.showing(record)).hidden_bytes > 0

    def showing(self, record: Record) -> Showing:
        """Return what is shown of a request where nobody answers it."""
        notice = self.notices.make(record, Route(CHANNEL), "")
        shown = showing(notice, record, self.extras, answers=False)
        act = record.opened.act
        if act.kind is Kind.ASK or not act.subject:
            return shown
        host = self.notices.host_name(record.opened)
        return replace(shown, quarantine=quarantine_url(self.base_url, act.subject, host))

    def link(self, record: Record) -> str:
        """Return the page of a request."""
        return request_url(self.base_url, record.id)


def _unknown() -> Refusal:
    return Refusal(
        404,
        "unknown_card",
        "Holdfast has not made this card, or it is too old; nothing was decided",
        "answer on the newest card of the request, or on its page",
    )


def showing(
    notice: Notice, record: Record | None, extras: Extras, *, answers: bool = True
) -> Showing:
    """Return what a card shows; one for the owner has no answers, which would be refused."""
    grant = record is not None and notice.state is RequestState.OPEN and extras.lives(record)
    own = notice.to == OWNER
    return Showing(
        request=notice.request,
        card=notice.card,
        digest=notice.shown,
        state=notice.state,
        outcome=notice.outcome,
        finished=notice.finished,
        nonce=notice.nonce if answers else "",
        answers=answers and not own,
        votes=tuple(map(vote_line, notice.votes)),
        link=notice.link,
        for_a_time=bool(grant),
        note="You answer for what asks here, so another person decides." if own else "",
        session=notice.session is not None,
        quarantine=notice.session.quarantine if notice.session else "",
        broken=headline(notice),
        asked=notice.asked.people if notice.asked else "",
        stuck=notice.asked.stuck if notice.asked else "",
        broken_by=notice.decision.by if notice.decision else "",
    )

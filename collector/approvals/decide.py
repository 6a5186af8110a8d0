"""The one door for answers: checks who, what and when, and stores what somebody says.

What the votes come to then is Settling's.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol

from collector.approvals import checks
from collector.approvals.applied import Applied, Policies
from collector.approvals.book import Book
from collector.approvals.capped import Capped
from collector.approvals.record import Record
from collector.approvals.settle import AlsoFollows, Settling
from collector.approvals.tally import missing_words, tally
from collector.approvals.unstored import refusals
from collector.approvals.verdicts import Verdicts
from collector.errors import Refusal
from collector.identity.people import Caller
from collector.nats.publish import Publisher
from collector.policy.model import BREAK_GLASS_S
from wire import subjects
from wire.codec import encode
from wire.ids import VoteId, new_id
from wire.messages import Answer, Comment, Ground, Severity, Vote, WantedGrant
from wire.signing import Signer, Verifier


class CheckFresh(Protocol):
    """Raises Refusal if too long ago a caller has proved who they are."""

    def __call__(self, caller: Caller, severity: Severity, now_ns: int, *, what: str = "") -> None:
        """`now_ns` is since the epoch; `what` says what is done, if no request is decided."""


FindCard = Callable[[Record | Capped, str], Awaitable[str | None]]
"""Gives the content of the card of a digest, if it was shown of this request or session."""


class Decider:
    """Publishes votes and comments, signed with the collector's key; `settling` does the rest."""

    def __init__(
        self,
        book: Book,
        publisher: Publisher,
        signer: Signer,
        verifier: Verifier,
        policies: Policies,
        check_fresh: CheckFresh | None = None,
        clock: Callable[[], int] = time.time_ns,
        *,
        break_glass_s: int = BREAK_GLASS_S,
        also: AlsoFollows | None = None,
        find_card: FindCard | None = None,
    ) -> None:
        """`clock` gives UTC in nanoseconds. `break_glass_s` is of Verdicts, `also` of Settling.

        Without `find_card` no card is known, and an answer that names one is refused.
        """
        self._book = book
        self._clock = clock
        self._check_fresh = check_fresh
        self._find_card = find_card
        self.policies = policies
        self._publisher = publisher
        self._signer = signer
        verdicts = Verdicts(publisher, signer, verifier, clock, break_glass_s=break_glass_s)
        self.settling = Settling(book, publisher, signer, verifier, policies, verdicts, also)

    async def decide(
        self,
        caller: Caller,
        record: Record,
        *,
        answer: Answer,
        reason: str,
        digest: str | None,
        via: str,
        wanted: WantedGrant | None = None,
        card: str = "",
        summary: Capped | None = None,
    ) -> Record:
        """Return the request with the answer in it, decided if the policy needs no other.

        `wanted` is the time that an approval is for, if it is for one. `card` is the digest of the
        card that the person had before them; "" where that is not known. With `summary` it is the
        card of the request's session.

        The answer is about every hold of the request that waits; each is decided by itself.
        Raises Refusal with the reason why not. The policy's deadline is by this side's clock. The
        host's own, passed on this side's clock, is no refusal: the host's boot clock decides, and
        says so when an answer came too late.
        """
        reason = checks.check_text(reason, longest=checks.LONGEST_REASON, name="reason")
        applied = self.policies.apply(record)
        now_ns = self._clock()
        checks.check_caller(record, caller, applied, now_ns)
        checks.check_open(record)
        checks.check_in_time(applied, now_ns)
        checks.check_answer(record, applied, reason=reason, digest=digest)
        shown = await self._shown_card(summary or record, card)
        if answer is Answer.APPROVE:
            checks.check_known_requester(applied)
            if self._check_fresh is not None:
                self._check_fresh(caller, record.opened.rule.severity, now_ns)
        counts_for = applied.counts_for(caller, now_ns)
        whole = applied.known.whole(caller)
        if (earlier := checks.voted_before(record, whole, answer, counts_for)) is not None:
            await self._again(record, applied, earlier)
        vote = _vote(caller, record, applied, now_ns, answer=answer, reason=reason, via=via)
        vote = replace(vote, counts_for=counts_for, grant=wanted, card=card, shown=shown)
        return await self._cast(self._like(record, caller, vote, now_ns), vote)

    async def break_glass(
        self,
        caller: Caller,
        record: Record,
        *,
        reason: str,
        digest: str | None,
        via: str,
        card: str = "",
    ) -> Record:
        """Return the request as released without those whom the policy asks; raise Refusal.

        It is for this one act, and only for the short while that Verdicts gives it. `card` is as
        for `decide`.
        """
        reason = checks.check_text(reason, longest=checks.LONGEST_REASON, name="reason")
        applied = self.policies.apply(record)
        now_ns = self._clock()
        checks.check_break_glass(record, caller, applied, reason)
        checks.check_open(record)
        checks.check_in_time(applied, now_ns)
        checks.check_answer(record, applied, reason=reason, digest=digest)
        checks.check_known_requester(applied)
        shown = await self._shown_card(record, card)
        if self._check_fresh is not None:
            self._check_fresh(caller, record.opened.rule.severity, now_ns)
        answer = Answer.APPROVE
        vote = _vote(caller, record, applied, now_ns, answer=answer, reason=reason, via=via)
        vote = replace(vote, ground=Ground.BREAK_GLASS, counts_for=(), card=card, shown=shown)
        return await self._cast((record.alone,), vote)

    async def _shown_card(self, what: Record | Capped, card: str) -> str:
        """Return the content of the card of this digest, "" for none; raise Refusal if unknown."""
        if not card:
            return ""
        found = await self._find_card(what, card) if self._find_card is not None else None
        if found is None:
            raise Refusal(
                409,
                "card_unknown",
                "the answer is to a card that was not shown of this request, or is not known "
                "any more; nothing was decided",
                "look at the request again and answer what it shows now",
            )
        return found

    def _like(self, record: Record, caller: Caller, vote: Vote, now_ns: int) -> tuple[Record, ...]:
        """Return the holds of a request that a vote is about, that which stands for it first.

        A vote counts for a later hold as much as for the first one, or is not about it: an
        escalation lets others in on each hold in its own time.
        """
        first, *others = record.waiting
        like = [first]
        for one in others:
            applied = self.policies.apply(one)
            try:
                checks.check_caller(one, caller, applied, now_ns)
                checks.check_in_time(applied, now_ns)
            except Refusal:
                continue
            same = (applied.policy.id, applied.counts_for(caller, now_ns))
            if same == (vote.policy, vote.counts_for):
                like.append(one)
        return tuple(like)

    async def _again(self, record: Record, applied: Applied, earlier: Vote) -> None:
        """Raise Refusal for an answer that this person has given already.

        Whoever stored it is about to decide, or was killed before it could: so it is done here.
        """
        policy = applied.policy
        standing = tally(record.votes, policy.approve, policy.break_glass)
        if standing.answer is not None:
            checks.check_open(await self.settling.settle(record.waiting))
        raise Refusal(
            409,
            "already_voted",
            f"{earlier.by} has said {earlier.answer.value} already",
            f"{missing_words(standing.missing)} must still approve",
            {"vote": earlier.vote, "time_ns": earlier.time_ns},
        )

    async def _cast(self, holds: Sequence[Record], vote: Vote) -> Record:
        """Store a vote on these holds, and decide each for which it completes what is asked for."""
        others = holds[1:]
        vote = replace(
            vote,
            also=tuple(one.hold for one in others),
            also_digests=tuple(one.opened.digest for one in others),
        )
        with self._book.coming(vote.vote):
            await self._append(vote)
        vote = replace(vote, shown="")  # the stream has it, and memory need not
        self._book.register.said(vote)
        decided = await self.settling.settle(holds, vote)
        if decided.decision is not None and vote.vote not in decided.decision.votes:
            checks.check_open(decided)  # others were enough, and a moment earlier
        return self._shown(decided)

    def _shown(self, record: Record) -> Record:
        """Return the request of a hold as it stands now."""
        known = self._book.register.get(record.alone.id)
        return record if known is None else self._book.register.shown(known)

    async def comment(self, caller: Caller, record: Record, *, text: str, via: str) -> Record:
        """Return the request with the remark; raise Refusal if it cannot be stored."""
        checks.check_person(caller)
        text = checks.check_text(text, longest=checks.LONGEST_COMMENT, name="text")
        if not text:
            raise Refusal(422, "validation", "the comment is empty", "say something")
        comment = Comment(
            comment=VoteId(new_id()),
            request=record.id,
            by=caller.name,
            via=via,
            text=text,
            time_ns=self._clock(),
        )
        with self._book.coming(comment.comment):
            await self._append(comment)
        self._book.register.said(comment)
        known = self._book.register.get(record.id) or record
        if comment not in known.comments:  # a request that only the trail has
            known = replace(known, comments=(*known.comments, comment))
        self._book.announce(known)
        return self._book.register.shown(known)

    async def _append(self, message: Vote | Comment) -> None:
        data = encode(message)
        with refusals():
            await self._publisher.append(
                subjects.VOTES, subjects.vote(message.request), data, self._signer.headers(data)
            )


def _vote(
    caller: Caller,
    record: Record,
    applied: Applied,
    now_ns: int,
    *,
    answer: Answer,
    reason: str,
    via: str,
) -> Vote:
    return Vote(
        vote=VoteId(new_id()),
        request=record.alone.id,
        by=caller.name,
        via=via,
        answer=answer,
        reason=reason,
        digest=record.opened.digest,
        time_ns=now_ns,
        groups=caller.groups,
        policy=applied.policy.id,
        names=applied.known.whole(caller).names,
    )

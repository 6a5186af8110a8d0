"""The one door for answers: checks who, what and when, and lets the stream pick the one decision.

A vote is stored; once the votes fill what the policy asks for, the decision under "nothing may be
there yet", then the signed verdict for the host. Whoever loses the race is told who won.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from collector.approvals import checks
from collector.approvals.applied import Applied, Policies
from collector.approvals.book import Book
from collector.approvals.record import Record
from collector.approvals.register import Changed
from collector.approvals.tally import Standing, decision_of, missing_words, tally
from collector.approvals.verdicts import Verdicts
from collector.errors import CentreError, Refusal, UnconfirmedError
from collector.identity.people import Caller
from collector.nats.publish import Publisher, Stored
from collector.policy.model import BREAK_GLASS_S, Policy
from wire import subjects
from wire.codec import decode_as, encode
from wire.errors import SignatureError, WireError
from wire.ids import VoteId, new_id
from wire.messages import Answer, Comment, Decision, Ground, Severity, Vote
from wire.signing import Signer, Verifier

log = logging.getLogger(__name__)

# Caller, severity of the request, and the time since the epoch in nanoseconds.
CheckFresh = Callable[[Caller, Severity, int], None]


class Decider:
    """Publishes votes, comments and decisions, signed with the collector's key, then verdicts."""

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
    ) -> None:
        """`check_fresh` raises Refusal if too long ago a caller has proved who they are.

        `clock` gives UTC in nanoseconds. `break_glass_s` is that of Verdicts.
        """
        self._book = book
        self._clock = clock
        self._check_fresh = check_fresh
        self._policies = policies
        self._publisher = publisher
        self._signer = signer
        self._verifier = verifier
        self.verdicts = Verdicts(publisher, signer, verifier, clock, break_glass_s=break_glass_s)

    async def decide(
        self,
        caller: Caller,
        record: Record,
        *,
        answer: Answer,
        reason: str,
        digest: str | None,
        via: str,
    ) -> Record:
        """Return the request with the answer in it, decided if the policy needs no other.

        The answer is about every hold of the request that waits; each is decided by itself.
        Raises Refusal with the reason why not. The policy's deadline is by this side's clock. The
        host's own, passed on this side's clock, is no refusal: the host's boot clock decides, and
        says so when an answer came too late.
        """
        reason = checks.check_text(reason, longest=checks.LONGEST_REASON, name="reason")
        applied = self._policies.apply(record)
        now_ns = self._clock()
        checks.check_caller(record, caller, applied, now_ns)
        checks.check_open(record)
        checks.check_in_time(applied, now_ns)
        checks.check_answer(record, applied, reason=reason, digest=digest)
        if answer is Answer.APPROVE and self._check_fresh is not None:
            self._check_fresh(caller, record.opened.rule.severity, now_ns)
        counts_for = applied.counts_for(caller, now_ns)
        whole = applied.known.whole(caller)
        if (earlier := checks.voted_before(record, whole, answer, counts_for)) is not None:
            await self._again(record, applied, earlier)
        vote = _vote(caller, record, applied, now_ns, answer=answer, reason=reason, via=via)
        vote = replace(vote, counts_for=counts_for)
        return await self._cast(self._like(record, caller, vote, now_ns), vote)

    async def break_glass(
        self, caller: Caller, record: Record, *, reason: str, digest: str | None, via: str
    ) -> Record:
        """Return the request as released without those whom the policy asks; raise Refusal.

        It is for this one act, and only for the short while that Verdicts gives it.
        """
        reason = checks.check_text(reason, longest=checks.LONGEST_REASON, name="reason")
        applied = self._policies.apply(record)
        now_ns = self._clock()
        checks.check_break_glass(record, caller, applied, reason)
        checks.check_open(record)
        checks.check_in_time(applied, now_ns)
        checks.check_answer(record, applied, reason=reason, digest=digest)
        if self._check_fresh is not None:
            self._check_fresh(caller, record.opened.rule.severity, now_ns)
        answer = Answer.APPROVE
        vote = _vote(caller, record, applied, now_ns, answer=answer, reason=reason, via=via)
        vote = replace(vote, ground=Ground.BREAK_GLASS, counts_for=())
        return await self._cast((record.alone,), vote)

    def _like(self, record: Record, caller: Caller, vote: Vote, now_ns: int) -> tuple[Record, ...]:
        """Return the holds of a request that a vote is about, that which stands for it first.

        A vote counts for a later hold as much as for the first one, or is not about it: an
        escalation lets others in on each hold in its own time.
        """
        first, *others = record.waiting
        like = [first]
        for one in others:
            applied = self._policies.apply(one)
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
        standing = _tally(record.votes, applied.policy)
        if standing.answer is not None:
            checks.check_open(await self._settle(record.waiting))
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
        self._book.register.said(vote)
        decided = await self._settle(holds, vote)
        if decided.decision is not None and vote.vote not in decided.decision.votes:
            checks.check_open(decided)  # others were enough, and a moment earlier
        return self._shown(decided)

    async def _settle(self, holds: Sequence[Record], vote: Vote | None = None) -> Record:
        """Decide each hold whose votes are enough; return the first, or raise what befell it.

        What befell the others is theirs: whoever was faster has decided them, or the votes are
        taken up again from the stream.
        """
        first, *others = await asyncio.gather(
            *(self._settle_one(one, vote) for one in holds), return_exceptions=True
        )
        self._book.announce(self._book.register.get(holds[0].id) or holds[0])
        for hold, result in zip(holds[1:], others, strict=True):
            if isinstance(result, BaseException) and not isinstance(result, Refusal):
                log.error("hold %s: not decided with the others", hold.hold, exc_info=result)
        if isinstance(first, BaseException):
            raise first
        return first

    async def _settle_one(self, hold: Record, vote: Vote | None) -> Record:
        voted = self._book.register.get(hold.id) or hold
        if vote is not None and vote not in voted.votes:  # a request that only the trail has
            voted = replace(voted, votes=(*voted.votes, vote))
        decision = self.standing(voted)
        if decision is None:
            return voted
        with self._book.coming(hold.id):
            decided = await self._decide(voted, decision)
        await self._try_to_deliver(decided)
        return decided

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

    async def complete(self, record: Record, decision: Decision) -> None:
        """See that a request is decided; raise CentreError if it is not known to be done.

        The ingest brings the decision, which may be an earlier one, and sees to the verdict.
        """
        data = encode(decision)
        await self._publisher.first(
            subjects.DECISIONS, subjects.decision(record.id), data, self._signer.headers(data)
        )

    def standing(self, record: Record) -> Decision | None:
        """Return the decision that the votes on a request come to, if they come to one."""
        policy = self._policies.apply(record).policy
        standing = _tally(record.votes, policy)
        if standing.answer is None:
            return None
        return decision_of(record.id, standing, policy.id, record.opened.digest)

    async def _append(self, message: Vote | Comment) -> None:
        data = encode(message)
        with _refusals():
            await self._publisher.append(
                subjects.VOTES, subjects.vote(message.request), data, self._signer.headers(data)
            )

    async def _decide(self, record: Record, decision: Decision) -> Record:
        """Return the hold as decided by this decision; raise Refusal if another was earlier."""
        data = encode(decision)
        with _refusals(voted=True):
            stored = await self._publisher.first(
                subjects.DECISIONS,
                subjects.decision(record.id),
                data,
                self._signer.headers(data),
            )
        if stored is None:
            return self._apply(record, decision)
        earlier = self._read_decision(record, stored)
        known = self._apply(record, earlier)
        self._book.announce(known)
        checks.check_open(known)
        raise AssertionError("a decided request is never open")

    def _apply(self, record: Record, decision: Decision) -> Record:
        """Take in a decision at once; the ingest brings it again and finds it known."""
        outcome = self._book.register.said(decision)
        if isinstance(outcome, Changed):
            return outcome.record
        known = self._book.register.get(record.id) or record
        return known if known.decision else replace(known, decision=decision)

    def _read_decision(self, record: Record, stored: Stored) -> Decision:
        try:
            self._verifier.check(stored.data, dict(stored.headers))
            decision = decode_as(stored.data, Decision)
            # A signed decision of another request may have been copied here.
            if (decision.request, decision.digest) != (record.id, record.opened.digest):
                raise SignatureError("it was signed for another request")
        except WireError as error:
            raise Refusal(
                409,
                "decision_forged",
                f"a message that no collector signed stands in the place of the decision ({error})",
                "the host will act on its deadline; find out who has the collector's NATS key",
                {"request": record.id},
            ) from error
        return decision

    async def _try_to_deliver(self, record: Record) -> None:
        try:
            await self.verdicts.deliver(record)
        except CentreError as error:
            # The decision is stored; the ingest meets it and delivers the verdict then.
            log.warning("hold %s: verdict not delivered yet: %s", record.hold, error)


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


def _tally(votes: Sequence[Vote], policy: Policy) -> Standing:
    return tally(votes, policy.approve, policy.break_glass)


@contextmanager
def _refusals(*, voted: bool = False) -> Iterator[None]:
    """Turn NATS trouble into what the caller is told: nothing was decided, or it is not known.

    A vote that is stored will be decided upon, so with `voted` it is never the former.
    """
    try:
        yield
    except CentreError as error:
        if not voted and not isinstance(error, UnconfirmedError):
            raise Refusal(
                503,
                "nats_unavailable",
                f"nothing was decided: {error}",
                "see to the NATS server, then answer again",
            ) from error
        raise Refusal(
            503,
            "answer_unconfirmed",
            f"it is not known whether your answer was stored: {error}",
            "look at the request again before you answer it again",
        ) from error

"""The one door for answers: checks who, what and when, and lets the stream pick the one decision.

A vote is stored; once the votes fill what the policy asks for, the decision under "nothing may be
there yet", then the signed verdict for the host. Whoever loses the race is told who won.
"""

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
from collector.errors import CentreError, Refusal, UnconfirmedError
from collector.identity.people import Caller
from collector.nats.publish import Publisher, Stored
from collector.policy.model import Policy
from wire import subjects
from wire.codec import decode_as, encode
from wire.errors import SignatureError, WireError
from wire.ids import HoldId, VerdictId, VoteId, new_id
from wire.messages import Answer, Comment, Decision, Ground, Severity, Verdict, Vote
from wire.signing import Signer, Verifier

log = logging.getLogger(__name__)

# Caller, severity of the request, and the time since the epoch in nanoseconds.
CheckFresh = Callable[[Caller, Severity, int], None]


class Decider:
    """Publishes votes, comments, decisions and verdicts, signed with the collector's key."""

    def __init__(
        self,
        book: Book,
        publisher: Publisher,
        signer: Signer,
        verifier: Verifier,
        policies: Policies,
        check_fresh: CheckFresh | None = None,
    ) -> None:
        """`check_fresh` raises Refusal if too long ago a caller has proved who they are."""
        self._book = book
        self._check_fresh = check_fresh
        self._policies = policies
        self._publisher = publisher
        self._signer = signer
        self._verifier = verifier
        self._delivered: set[HoldId] = set()

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

        Raises Refusal with the reason why not. The policy's deadline is by this side's clock. The
        host's own, passed on this side's clock, is no refusal: the host's boot clock decides, and
        says so when an answer came too late.
        """
        reason = checks.check_text(reason, longest=checks.LONGEST_REASON, name="reason")
        applied = self._policies.apply(record)
        now_ns = time.time_ns()
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
        vote = _vote(caller, record, applied, answer=answer, reason=reason, via=via)
        return await self._cast(record, applied, replace(vote, counts_for=counts_for))

    async def break_glass(
        self, caller: Caller, record: Record, *, reason: str, digest: str | None, via: str
    ) -> Record:
        """Return the request as released without those whom the policy asks; raise Refusal.

        It is for this one act, and lives as long as any verdict for it.
        """
        reason = checks.check_text(reason, longest=checks.LONGEST_REASON, name="reason")
        applied = self._policies.apply(record)
        now_ns = time.time_ns()
        checks.check_break_glass(record, caller, applied, reason)
        checks.check_open(record)
        checks.check_in_time(applied, now_ns)
        checks.check_answer(record, applied, reason=reason, digest=digest)
        if self._check_fresh is not None:
            self._check_fresh(caller, record.opened.rule.severity, now_ns)
        vote = _vote(caller, record, applied, answer=Answer.APPROVE, reason=reason, via=via)
        return await self._cast(
            record, applied, replace(vote, ground=Ground.BREAK_GLASS, counts_for=())
        )

    async def _again(self, record: Record, applied: Applied, earlier: Vote) -> None:
        """Raise Refusal for an answer that this person has given already.

        Whoever stored it is about to decide, or was killed before it could: so it is done here.
        """
        standing = _tally(record.votes, applied.policy)
        if standing.answer is not None:
            decision = decision_of(record.id, standing, applied.policy.id)
            decided, news = await self._decide(record, decision)
            await self._go_out(decided, news)
            checks.check_open(decided)
        raise Refusal(
            409,
            "already_voted",
            f"{earlier.by} has said {earlier.answer.value} already",
            f"{missing_words(standing.missing)} must still approve",
            {"vote": earlier.vote, "time_ns": earlier.time_ns},
        )

    async def _cast(self, record: Record, applied: Applied, vote: Vote) -> Record:
        """Store a vote, and decide if it completes what is asked for."""
        with self._book.coming(vote.vote):
            await self._append(vote)
        self._book.register.said(vote)
        voted = self._book.register.get(record.id) or record
        standing = _tally(voted.votes or (vote,), applied.policy)
        if standing.answer is None:
            self._book.announce(voted)
            return voted
        decision = decision_of(record.id, standing, applied.policy.id)
        with self._book.coming(record.id):
            decided, news = await self._decide(voted, decision)
        await self._go_out(decided, news)
        if decided.decision is not None and vote.vote not in decided.decision.votes:
            checks.check_open(decided)  # others were enough, and a moment earlier
        return self._book.register.get(record.id) or decided

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
            time_ns=time.time_ns(),
        )
        with self._book.coming(comment.comment):
            await self._append(comment)
        self._book.register.said(comment)
        known = self._book.register.get(record.id) or record
        if comment not in known.comments:  # a request that only the trail has
            known = replace(known, comments=(*known.comments, comment))
        self._book.announce(known)
        return known

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
        return decision_of(record.id, standing, policy.id)

    async def deliver(self, record: Record) -> None:
        """Make sure that the host has a verdict for a decided hold; raise CentreError if it fails.

        Idempotent: the stream admits one verdict per hold, from whichever collector comes first.
        """
        decision, opened = record.decision, record.opened
        if decision is None or not record.wants_verdict or record.hold in self._delivered:
            return
        verdict = Verdict(
            verdict=VerdictId(new_id()),
            host=opened.host,
            hold=opened.hold,
            request=record.id,
            digest=opened.digest,
            answer=decision.answer,
            ground=decision.ground,
            by=decision.by,
            via=decision.via,
            reason=decision.reason,
            boot_id=opened.boot_id,
            expires_boot_ns=opened.deadline_boot_ns,
            time_ns=time.time_ns(),
        )
        data = encode(verdict)
        stored = await self._publisher.first(
            subjects.VERDICTS,
            subjects.verdict(opened.host, opened.hold),
            data,
            self._signer.headers(data),
        )
        if stored is not None and not self._is_verdict(stored, verdict):
            log.error(
                "hold %s: another message stands in the place of its verdict; the host will refuse "
                "it and the hold runs into its deadline. Find out who has the collector's NATS key",
                opened.hold,
            )
        self._delivered.add(record.hold)

    def forget(self, record: Record) -> None:
        """The host has closed the hold: nothing more will be delivered."""
        self._delivered.discard(record.hold)

    async def _append(self, message: Vote | Comment) -> None:
        data = encode(message)
        with _refusals():
            await self._publisher.append(
                subjects.VOTES, subjects.vote(message.request), data, self._signer.headers(data)
            )

    async def _decide(self, record: Record, decision: Decision) -> tuple[Record, bool]:
        """Return the request as decided by this decision, and whether that is news."""
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
        known, news = self._apply(record, earlier)
        if news:
            self._book.announce(known)
        checks.check_open(known)
        raise AssertionError("a decided request is never open")

    def _apply(self, record: Record, decision: Decision) -> tuple[Record, bool]:
        """Take in a decision at once; the ingest brings it again and finds it known."""
        outcome = self._book.register.said(decision)
        if isinstance(outcome, Changed):
            return outcome.record, True
        known = self._book.register.get(record.id) or record
        return known if known.decision else replace(known, decision=decision), False

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

    def _is_verdict(self, stored: Stored, wanted: Verdict) -> bool:
        """Return whether a collector has stored the same word for the same hold before."""
        try:
            self._verifier.check(stored.data, dict(stored.headers))
            found = decode_as(stored.data, Verdict)
        except WireError:
            return False
        return wanted == replace(found, verdict=wanted.verdict, time_ns=wanted.time_ns)

    async def _go_out(self, decided: Record, news: bool) -> None:
        """See to the verdict, then tell: the process waits, and who follows requests can too."""
        try:
            await self._try_to_deliver(decided)
        finally:
            if news:
                self._book.announce(decided)

    async def _try_to_deliver(self, record: Record) -> None:
        try:
            await self.deliver(record)
        except CentreError as error:
            # The decision is stored; the ingest meets it and delivers the verdict then.
            log.warning("hold %s: verdict not delivered yet: %s", record.hold, error)


def _vote(
    caller: Caller, record: Record, applied: Applied, *, answer: Answer, reason: str, via: str
) -> Vote:
    return Vote(
        vote=VoteId(new_id()),
        request=record.id,
        by=caller.name,
        via=via,
        answer=answer,
        reason=reason,
        digest=record.opened.digest,
        time_ns=time.time_ns(),
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

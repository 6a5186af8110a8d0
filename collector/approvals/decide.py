"""The one door for answers: checks who, what and when, and lets the stream pick the one decision.

A vote is stored, then the decision under "nothing may be there yet", then the signed verdict for
the host. Whoever loses the race is told who won.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from collector.approvals import policy
from collector.approvals.book import Book
from collector.approvals.record import Record
from collector.approvals.register import Changed
from collector.errors import CentreError, Refusal, UnconfirmedError
from collector.identity.people import Caller
from collector.nats.publish import Publisher, Stored
from wire import subjects
from wire.codec import decode_as, encode
from wire.errors import SignatureError, WireError
from wire.ids import HoldId, VerdictId, VoteId, new_id
from wire.messages import Answer, Comment, Decision, Ground, Verdict, Vote
from wire.signing import Signer, Verifier

log = logging.getLogger(__name__)

# How long an answer waits to see itself in the trail; the answer stands either way.
_SEEN_S = 2.0


class Decider:
    """Publishes votes, comments, decisions and verdicts, signed with the collector's key."""

    def __init__(
        self, book: Book, publisher: Publisher, signer: Signer, verifier: Verifier
    ) -> None:
        self._book = book
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
        """Return the request as decided; raise Refusal with the reason it is not.

        A deadline that has passed on this side's clock is no refusal: the host's boot clock
        decides, and the host says so when the answer came too late.
        """
        reason = policy.check_text(reason, longest=policy.LONGEST_REASON, name="reason")
        policy.check_caller(record, caller)
        policy.check_open(record)
        policy.check_answer(record, reason=reason, digest=digest)
        if (earlier := _said_before(record, caller, answer)) is not None:
            # Whoever stored it is about to decide, or was killed before it could.
            decided, news = await self._decide(record, _decision(earlier))
            await self._go_out(decided, news)
            policy.check_open(decided)
        vote = Vote(
            vote=VoteId(new_id()),
            request=record.id,
            by=caller.name,
            via=via,
            answer=answer,
            reason=reason,
            digest=record.opened.digest,
            time_ns=time.time_ns(),
        )
        with self._book.awaiting(record.id) as seen:
            await self._append(vote)
            decided, news = await self._decide(record, _decision(vote))
            await self._go_out(decided, news)
            await asyncio.wait({seen}, timeout=_SEEN_S)
        return self._book.register.get(record.id) or decided

    async def comment(self, caller: Caller, record: Record, *, text: str, via: str) -> Record:
        """Return the request with the remark; raise Refusal if it cannot be stored."""
        policy.check_person(caller)
        text = policy.check_text(text, longest=policy.LONGEST_COMMENT, name="text")
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
        with self._book.awaiting(comment.comment) as seen:
            await self._append(comment)
            await asyncio.wait({seen}, timeout=_SEEN_S)
        return await self._book.get(record.id) or record

    async def complete(self, record: Record, vote: Vote) -> None:
        """Decide upon a vote that is stored; raise CentreError if it is not known to be done.

        The ingest brings the decision, which may be an earlier one, and sees to the verdict.
        """
        data = encode(_decision(vote))
        await self._publisher.first(
            subjects.DECISIONS, subjects.decision(record.id), data, self._signer.headers(data)
        )

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
        policy.check_open(known)
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


def _said_before(record: Record, caller: Caller, answer: Answer) -> Vote | None:
    """Return the vote by which this person has said the same already: they count once."""
    same = (v for v in record.votes if (v.by, v.answer) == (caller.name, answer))
    return next(same, None)


def _decision(vote: Vote) -> Decision:
    """Return what one vote adds up to: the same, to the byte, whoever decides and when."""
    return Decision(
        request=vote.request,
        answer=vote.answer,
        ground=Ground.DECISION,
        by=vote.by,
        via=vote.via,
        reason=vote.reason,
        digest=vote.digest,
        votes=(vote.vote,),
        time_ns=vote.time_ns,
    )


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

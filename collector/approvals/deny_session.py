"""Denies all of a session at its limit that waits: each request by itself, by the one door."""

import asyncio
from dataclasses import dataclass

from collector.approvals.capped import Capped
from collector.approvals.checks import check_decides
from collector.approvals.decide import Decider
from collector.approvals.record import Record
from collector.errors import Refusal
from collector.identity.people import Caller
from wire.messages import Answer


@dataclass(frozen=True, slots=True)
class Denied:
    """What came of one request; `refusal` says why this person's denial of it was not taken."""

    record: Record
    refusal: Refusal | None


async def deny_session(
    decider: Decider, capped: Capped, caller: Caller, *, reason: str, via: str, card: str = ""
) -> tuple[Denied, ...]:
    """Return what came of each request that waited; raise Refusal if nobody could be answered.

    `card` is the digest of the session's card as the person had it before them, "" if not known.
    There is no such way to approve: that needs a look at each.
    """
    check_decides(caller)
    if capped.finished:
        raise Refusal(
            410, "session_over", "nothing of this session waits any more", "nothing is left to deny"
        )
    if not reason.strip():
        raise Refusal(
            422, "reason_required", "to deny all of a session asks for a reason", "say why"
        )

    async def deny(record: Record) -> Denied:
        try:
            record = await decider.decide(
                caller,
                record,
                answer=Answer.DENY,
                reason=reason,
                digest=record.opened.digest,
                via=via,
                card=card,
                summary=capped,
            )
        except Refusal as refusal:
            return Denied(record, refusal)
        return Denied(record, None)

    return tuple(await asyncio.gather(*map(deny, capped.waiting)))


def denied_words(results: tuple[Denied, ...]) -> str:
    """Return what came of it, for whoever did it."""
    refusals = [one.refusal for one in results if one.refusal is not None]
    done = len(results) - len(refusals)
    words = f"{done} of {len(results)} requests are denied."
    if not refusals:
        return words
    return f"{words} The first of the others: {refusals[0].message}."

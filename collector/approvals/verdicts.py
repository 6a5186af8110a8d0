"""The signed word to each host about each decided hold: one per hold, whoever brings it."""

import logging
from collections.abc import Callable
from dataclasses import replace

from collector.approvals.hostclock import boot_ns_at
from collector.approvals.record import Record
from collector.nats.publish import Publisher, Stored
from collector.policy.model import BREAK_GLASS_S
from wire import subjects
from wire.codec import decode_as, encode
from wire.errors import WireError
from wire.ids import HoldId, VerdictId, new_id
from wire.messages import Decision, Ground, Verdict
from wire.signing import Signer, Verifier

log = logging.getLogger(__name__)

_NS = 1_000_000_000


class Verdicts:
    """Publishes verdicts. `clock` gives UTC in nanoseconds."""

    def __init__(
        self,
        publisher: Publisher,
        signer: Signer,
        verifier: Verifier,
        clock: Callable[[], int],
        *,
        break_glass_s: int = BREAK_GLASS_S,
    ) -> None:
        """`break_glass_s`: how long after the glass was broken the host may still act on that."""
        self._break_glass_ns = break_glass_s * _NS
        self._publisher = publisher
        self._signer = signer
        self._verifier = verifier
        self._clock = clock
        self._delivered: set[HoldId] = set()

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
            expires_boot_ns=self._ends_boot_ns(record, decision),
            time_ns=self._clock(),
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

    def _ends_boot_ns(self, record: Record, decision: Decision) -> int:
        """Return when the host stops obeying, by its boot clock; 0: not before the hold ends."""
        deadline = record.opened.deadline_boot_ns
        if decision.ground is not Ground.BREAK_GLASS:
            return deadline
        ends = boot_ns_at(record, decision.time_ns) + self._break_glass_ns
        return min(ends, deadline) if deadline else ends

    def _is_verdict(self, stored: Stored, wanted: Verdict) -> bool:
        """Return whether a collector has stored the same word for the same hold before."""
        try:
            self._verifier.check(stored.data, dict(stored.headers))
            found = decode_as(stored.data, Verdict)
        except WireError:
            return False
        # Another collector may have heard of the hold at another moment.
        same = replace(found, verdict=wanted.verdict, time_ns=wanted.time_ns)
        if wanted.ground is Ground.BREAK_GLASS and found.expires_boot_ns:
            same = replace(same, expires_boot_ns=wanted.expires_boot_ns)
        return wanted == same

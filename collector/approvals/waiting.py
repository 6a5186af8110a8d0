"""What time does to open requests: escalation lets others in, and silence becomes a denial.

By the centre's clock and the policy. The host's own deadline stands beside it, and the earlier one
counts.
"""

import heapq
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

from collector.approvals.applied import Policies
from collector.approvals.book import Book, Listener
from collector.approvals.record import Record, RequestState
from collector.approvals.settle import Settling
from collector.approvals.tally import silence_of
from collector.errors import CentreError
from wire.ids import RequestId

log = logging.getLogger(__name__)

_AGAIN_S = 2.0
_QUEUE = 4096
_NS = 1_000_000_000


class Waiting:
    """Keeps the moments at which something is due for open requests. One task: `run`."""

    def __init__(
        self,
        book: Book,
        settling: Settling,
        policies: Policies,
        *,
        escalated: Callable[[RequestId], Awaitable[None]],
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """`escalated` is told of a request that others are let in on; `clock` gives UTC in ns."""
        self._book = book
        self._settling = settling
        self._policies = policies
        self._escalated = escalated
        self._clock = clock
        self._due: list[tuple[int, RequestId]] = []
        self._moments: dict[RequestId, tuple[int, ...]] = {}  # of each open request
        self._listener: Listener | None = None

    async def run(self) -> None:
        """Work for ever; cancel to stop."""
        while True:
            with self._book.listen(_QUEUE, "waiting") as listener:
                self._listener = listener
                self._moments = {}  # those that were closed unheard are not in it again
                self.take(self._book.register.unfinished())
                while not listener.overrun.is_set():
                    await self.see_to_due()
                    try:
                        record = await listener.next(self._pause_s())
                    except TimeoutError:
                        continue
                    if record is None:
                        return
                    self.take((record,))

    def reconsider(self) -> None:
        """Look at every open request anew: another policy may be in force for it."""
        for record in self._book.register.unfinished():
            if record.state is RequestState.OPEN:
                heapq.heappush(self._due, (0, record.id))  # others may be let in by now
                if self._listener is not None:
                    self._listener.offer(record)

    def take(self, records: Iterable[Record]) -> None:
        """Keep the moments of those that are open, and forget those of others."""
        for record in (hold for request in records for hold in request.holds):
            if record.state is not RequestState.OPEN:
                self._moments.pop(record.id, None)
                continue
            applied = self._policies.apply(record)
            moments = applied.steps_ns()
            if applied.deadline_ns is not None:
                moments = (*moments, applied.deadline_ns)
            # A moment that is no more finds nothing due.
            for moment in set(moments) - set(self._moments.get(record.id, ())):
                heapq.heappush(self._due, (moment, record.id))
            self._moments[record.id] = moments

    def _pause_s(self) -> float:
        if not self._due:
            return 3600.0
        return min(3600.0, max(0.0, (self._due[0][0] - self._clock()) / _NS))

    async def see_to_due(self) -> None:
        """Do what is due by now."""
        now = self._clock()
        while self._due and self._due[0][0] <= now:
            _, request = heapq.heappop(self._due)
            record = self._book.register.get(request)
            if record is None or record.state is not RequestState.OPEN:
                continue
            try:
                await self._see_to(record, now)
            except CentreError as error:
                log.warning("request %s: silence is not stored yet: %s", request, error)
                heapq.heappush(self._due, (now + int(_AGAIN_S * _NS), request))
                return

    async def _see_to(self, record: Record, now: int) -> None:
        applied = self._policies.apply(record)
        deadline = applied.deadline_ns
        if deadline is not None and deadline <= now:
            # Votes that were enough, and whose collector was killed before it could say so, count.
            decision = self._settling.standing(record)
            if decision is None:
                policy = applied.policy.id
                decision = silence_of(record.id, record.opened.digest, policy, deadline)
            await self._settling.complete(record, decision)
        else:
            await self._escalated(record.id)

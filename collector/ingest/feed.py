"""From one stream into the trail: each message is taken, committed, acted on and acknowledged.

Taking goes ahead of the commit, so that a hold is shown while the trail is still busy with, or
cannot take, what came before it. The rest is done in the order of the stream.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from collector.errors import CentreError, TrailError
from collector.ingest.work import Delivery, Intake, Work
from collector.nats.pull import Pull
from collector.trail.writer import Writer

log = logging.getLogger(__name__)

_BATCH = 256
_MAX_BYTES = 8 << 20
_ACK_WAIT_S = 15
_LONGEST_PAUSE_S = 10.0
# How far taking goes ahead; what is not acknowledged comes again, so this bounds memory only.
_AHEAD_BYTES = 2 * _MAX_BYTES
_AHEAD_RUNS = 256


@dataclass(frozen=True, slots=True)
class _Run:
    """Messages that were taken together, by their sequence in the stream, and what came of them."""

    messages: dict[int, Msg]
    work: Work
    refused: frozenset[int]
    size: int  # bytes


class Feed:
    """Reads one stream through a durable consumer that belongs to the trail file."""

    def __init__(
        self, client: Client, intake: Intake, writer: Writer, *, trail: str, gather_s: float = 0.0
    ) -> None:
        """`trail` is the id of the file, so a new file reads the stream from its beginning.

        `gather_s`: how long to wait for further messages once there is one.
        """
        self._client = client
        self._intake = intake
        self._writer = writer
        self._gather_s = gather_s
        self._consumer = f"trail-{trail}-{intake.stream}"
        self._pull = Pull(
            client,
            stream=intake.stream,
            consumer=self._consumer,
            batch=_BATCH,
            max_bytes=_MAX_BYTES,
        )
        self._taken: deque[_Run] = deque()
        self._changed = asyncio.Condition()

    @property
    def name(self) -> str:
        """For the log."""
        return f"ingest {self._intake.stream}"

    async def prepare(self, js: JetStreamContext, *, anew: bool = False) -> None:
        """Create the consumer, or let it go on where the last run ended.

        `anew`: the trail was restored, so the whole stream is read again.
        What that run had received and not acknowledged would come only after the wait for the
        acknowledgement; a hold must not wait, so the consumer is made anew from its ack floor.
        The trail's lock makes this process its only reader. If it dies in between, the whole
        stream is read again, and found to be known.
        """
        start = 0
        try:
            found = await js.consumer_info(self._intake.stream, self._consumer)
            if not anew and not found.num_ack_pending:
                return
            start = found.ack_floor.stream_seq + 1 if found.ack_floor and not anew else 1
            await js.delete_consumer(self._intake.stream, self._consumer)
        except nats.js.errors.NotFoundError:
            log.info("%s: reading the stream from its beginning", self.name)
        await js.add_consumer(
            self._intake.stream,
            ConsumerConfig(
                durable_name=self._consumer,
                ack_policy=AckPolicy.EXPLICIT,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE if start else DeliverPolicy.ALL,
                opt_start_seq=start or None,
                ack_wait=_ACK_WAIT_S,
                max_deliver=-1,
                max_ack_pending=4 * _BATCH,
            ),
        )

    def renew(self) -> None:
        """The connection is new: ask again."""
        self._pull.renew()

    async def run(self) -> None:
        """Read for ever. What cannot be written is tried again, and stays unacknowledged."""
        async with self._pull:
            halves = [asyncio.create_task(self._read()), asyncio.create_task(self._keep())]
            try:
                done, _ = await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
                for half in done:
                    half.result()
            finally:
                for half in halves:
                    half.cancel()
                await asyncio.gather(*halves, return_exceptions=True)

    async def _read(self) -> None:
        while True:
            messages = self._fresh(await self._pull.next(self._gather_s))
            if not messages:
                continue
            deliveries = [Delivery.of(message) for message in messages]
            work = await self._take(deliveries)
            run = _Run(
                messages={
                    one.sequence: message for one, message in zip(deliveries, messages, strict=True)
                },
                work=work,
                refused=frozenset(deliveries[position].sequence for position in work.refused),
                size=sum(len(message.data) for message in messages),
            )
            async with self._changed:
                self._taken.append(run)
                self._changed.notify_all()
                await self._changed.wait_for(self._has_room)

    def _fresh(self, messages: list[Msg]) -> list[Msg]:
        """Return what is not taken already.

        The stream sends a message again that waits for its commit for long; whoever is answered in
        the end is the newest of them.
        """
        fresh = []
        for message in messages:
            sequence = message.metadata.sequence.stream
            run = next((one for one in self._taken if sequence in one.messages), None)
            if run is None:
                fresh.append(message)
            else:
                run.messages[sequence] = message
        return fresh

    def _has_room(self) -> bool:
        return (
            len(self._taken) < _AHEAD_RUNS and sum(run.size for run in self._taken) < _AHEAD_BYTES
        )

    async def _keep(self) -> None:
        """Bring what was taken into the trail, all that waits at once."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._taken)
            runs = list(self._taken)
            await self._write([run.work for run in runs])
            for run in runs:
                await self._done(run.work)
                await self._acknowledge(run)
                async with self._changed:
                    self._taken.popleft()
                    self._changed.notify_all()

    async def _take(self, deliveries: list[Delivery]) -> Work:
        pause = 0.1
        while True:
            try:
                return await self._intake.take(deliveries)
            except TrailError as error:
                pause = await self._wait(pause, error)

    async def _write(self, works: list[Work]) -> None:
        rows = [row for work in works for row in work.rows]
        batches = [batch for work in works for batch in work.batches]
        pause = 0.1
        while rows or batches:
            try:
                return await self._writer.write(rows, batches)
            except TrailError as error:
                pause = await self._wait(pause, error)
        return None

    async def _done(self, work: Work) -> None:
        pause = 0.1
        while True:
            try:
                return await self._intake.done(work)
            except CentreError as error:
                pause = await self._wait(pause, error)

    async def _wait(self, pause: float, error: Exception) -> float:
        log.error("%s: %s; trying again", self.name, error)
        await asyncio.sleep(pause)
        return min(pause * 2, _LONGEST_PAUSE_S)

    async def _acknowledge(self, run: _Run) -> None:
        try:
            for sequence, message in run.messages.items():
                if sequence in run.refused:
                    await message.term()
                else:
                    await message.ack()
        except nats.errors.Error as error:
            # They come again and are found in the trail.
            log.info("%s: not acknowledged (%s)", self.name, type(error).__name__)

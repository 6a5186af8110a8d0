"""The loop from one stream into the trail: take, commit, act, acknowledge, in this order."""

import asyncio
import logging

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


class Feed:
    """Reads one stream through a durable consumer that belongs to the trail file."""

    def __init__(self, client: Client, intake: Intake, writer: Writer, *, trail: str) -> None:
        """`trail` is the id of the file, so a new file reads the stream from its beginning."""
        self._client = client
        self._intake = intake
        self._writer = writer
        self._consumer = f"trail-{trail}-{intake.stream}"
        self._pull = Pull(
            client,
            stream=intake.stream,
            consumer=self._consumer,
            batch=_BATCH,
            max_bytes=_MAX_BYTES,
        )

    @property
    def name(self) -> str:
        """For the log."""
        return f"ingest {self._intake.stream}"

    async def prepare(self, js: JetStreamContext) -> None:
        """Create the consumer, or let it go on where the last run ended.

        What that run had received and not acknowledged would come only after the wait for the
        acknowledgement; a hold must not wait, so the consumer is made anew from its ack floor.
        The trail's lock makes this process its only reader. If it dies in between, the whole
        stream is read again, and found to be known.
        """
        start = 0
        try:
            found = await js.consumer_info(self._intake.stream, self._consumer)
            if not found.num_ack_pending:
                return
            start = found.ack_floor.stream_seq + 1 if found.ack_floor else 1
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
            while True:
                messages = await self._pull.next()
                work = await self._take([Delivery.of(message) for message in messages])
                await self._write(work)
                await self._done(work)
                await self._acknowledge(messages, work)

    async def _take(self, deliveries: list[Delivery]) -> Work:
        pause = 0.1
        while True:
            try:
                return await self._intake.take(deliveries)
            except TrailError as error:
                pause = await self._wait(pause, error)

    async def _write(self, work: Work) -> None:
        pause = 0.1
        while work.rows or work.batches:
            try:
                return await self._writer.write(work.rows, work.batches)
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

    async def _acknowledge(self, messages: list[Msg], work: Work) -> None:
        try:
            for position, message in enumerate(messages):
                if position in work.refused:
                    await message.term()
                else:
                    await message.ack()
        except nats.errors.Error as error:
            # They come again and are found in the trail.
            log.info("%s: not acknowledged (%s)", self.name, type(error).__name__)

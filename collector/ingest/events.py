"""Takes in batches of events and what hosts say of themselves; neither changes any request."""

import hashlib
import time
from collections.abc import Callable, Sequence

from collector.ingest.checking import Checkers
from collector.ingest.work import Delivery, Work
from collector.trail.rows import host_row
from wire import subjects
from wire.codec import decode_as
from wire.errors import WireError
from wire.ids import HostId
from wire.messages import HostRecord


class EventIntake:
    """Turns batches into Arrow, elsewhere: a megabyte of columns takes milliseconds."""

    stream = subjects.EVENTS

    def __init__(self, checkers: Checkers) -> None:
        self._checkers = checkers

    async def take(self, deliveries: Sequence[Delivery]) -> Work:
        """Return the batches; one that is broken takes no other with it."""
        read = await self._checkers.check(deliveries)
        work = Work()
        for position, (delivery, batch) in enumerate(zip(deliveries, read, strict=True)):
            if isinstance(batch, WireError):
                work.refuse(position, delivery, str(batch))
            else:
                work.batches.append(batch)
        return work

    async def done(self, work: Work) -> None:
        """Nothing else waits for events."""


class HostIntake:
    """Keeps every record that a host has put into its key; `started` hears of each."""

    stream = f"KV_{subjects.HOSTS_BUCKET}"

    def __init__(self, started: Callable[[HostId, int], None]) -> None:
        self._started = started

    async def take(self, deliveries: Sequence[Delivery]) -> Work:
        """Return a row for each record."""
        work = Work()
        for position, delivery in enumerate(deliveries):
            try:
                record = decode_as(delivery.data, HostRecord)
                delivery.expect(f"$KV.{subjects.HOSTS_BUCKET}.{record.host}", record.host)
                digest = hashlib.sha256(delivery.data).hexdigest()
                work.rows.append(host_row(record, digest, time.time_ns()))
                self._started(record.host, record.started_ns)
            except WireError as error:
                work.refuse(position, delivery, str(error))
        return work

    async def done(self, work: Work) -> None:
        """Nothing else waits for them."""

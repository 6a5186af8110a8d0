"""Tells the centre what this host is, at each start, each connection and each change of rules."""

import asyncio
import logging

from agent.errors import TransportError
from agent.tasks import end
from agent.transport.link import Link
from wire import codec, subjects
from wire.messages import HostRecord

log = logging.getLogger("holdfast.agent.announcer")

_AGAIN_S = 2.0


class Announcer:
    """Keeps the host's record in the bucket of hosts up to date."""

    def __init__(self, link: Link, record: HostRecord) -> None:
        self._link = link
        self._record = record
        self._changed = asyncio.Event()

    @property
    def record(self) -> HostRecord:
        """What is announced."""
        return self._record

    def change(self, record: HostRecord) -> None:
        """Announce something else from now on."""
        self._record = record
        self._changed.set()

    async def run(self) -> None:
        """Announce for ever; cancel to stop."""
        while True:
            await self._link.ready()
            self._changed.clear()
            # A connection that is made while this is sent calls for it once more.
            renewed = asyncio.ensure_future(self._link.renewed())
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                # A key-value bucket is a stream; the host may write this one key and read none.
                subject = f"$KV.{subjects.HOSTS_BUCKET}.{self._record.host}"
                await self._link.publish(subject, codec.encode(self._record), None)
                await asyncio.wait({renewed, changed}, return_when=asyncio.FIRST_COMPLETED)
            except TransportError as error:
                log.warning("the host's record waits: %s", error)
                await asyncio.sleep(_AGAIN_S)
            finally:
                await end((renewed, changed))

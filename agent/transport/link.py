"""The connection to NATS: made when it can be, kept, made again.

Nothing else in the agent imports nats-py, but the reader beside it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from agent.errors import TransportError
from agent.identity import HostIdentity
from agent.tasks import end
from agent.transport.verdicts import Reading
from wire import subjects
from wire.ids import MessageId

log = logging.getLogger("holdfast.agent.link")

_ACK_S = 5.0
# A large batch over a thin line takes longer, and sending it again meanwhile would never end.
_SLOWEST_BYTES_PER_S = 16_000
_AGAIN_S = 2
_MESSAGE_ID = "Nats-Msg-Id"


class Link:
    """One host's connection. Everything on it carries the host's own credentials."""

    def __init__(self, identity: HostIdentity) -> None:
        self._identity = identity
        self._client: Client | None = None
        self._up = asyncio.Event()
        self._renewed = asyncio.Event()
        self._closed = asyncio.Event()
        self._complaint = ""
        self._readings: set[Reading] = set()

    @property
    def connected(self) -> bool:
        """Whether messages can leave now."""
        return self._client is not None and self._client.is_connected

    async def run(self) -> None:
        """Connect, and connect again, for ever; cancel to stop."""
        try:
            while True:
                self._closed.clear()
                self._client = Client()
                await self._connect(self._client)
                log.info("connected to %s", self._identity.nats_url)
                await self._on_connected()
                # nats-py reconnects by itself; it closes for good only when it is told off.
                await self._closed.wait()
                self._up.clear()
                await asyncio.sleep(_AGAIN_S)
        finally:
            self._up.clear()
            if self._client is not None and not self._client.is_closed:
                with suppress(nats.errors.Error, OSError, asyncio.TimeoutError):
                    await self._client.close()

    async def ready(self) -> None:
        """Return once connected."""
        await self._up.wait()

    async def renewed(self) -> None:
        """Return at the next connection that is made."""
        await self._renewed.wait()

    async def publish(self, subject: str, data: bytes, message_id: MessageId | None) -> bool:
        """Publish to a stream and wait for its word; return whether it knew the id already.

        Raises TransportError; then it is not known whether the stream has the message.
        """
        client = self._client
        if client is None or not client.is_connected:
            raise TransportError("not connected to NATS")
        headers = {_MESSAGE_ID: message_id} if message_id else None
        timeout_s = _ACK_S + len(data) / _SLOWEST_BYTES_PER_S
        sent = asyncio.ensure_future(
            client.jetstream().publish(subject, data, timeout=timeout_s, headers=headers)
        )
        renewed = asyncio.ensure_future(self.renewed())
        try:
            await asyncio.wait({sent, renewed}, return_when=asyncio.FIRST_COMPLETED)
            if not sent.done():
                raise TransportError(f"{subject}: not acknowledged before the connection was lost")
            ack = sent.result()
        except nats.js.errors.NoStreamResponseError as error:
            raise TransportError(
                f"{subject}: no stream takes it; start the collector, which makes the streams"
            ) from error
        except (TimeoutError, nats.errors.Error, OSError) as error:
            raise TransportError(f"{subject}: not acknowledged: {error!r}") from error
        finally:
            await end((sent, renewed))
        return bool(ack.duplicate)

    @asynccontextmanager
    async def reading(self, stream: str) -> AsyncIterator[Reading]:
        """Open this host's durable consumer of verdicts or orders; raise TransportError."""
        client = self._client
        if client is None:
            raise TransportError("not connected to NATS")
        async with Reading(client, self._identity.host, stream) as reading:
            self._readings.add(reading)
            try:
                yield reading
            finally:
                self._readings.discard(reading)

    async def _connect(self, client: Client) -> None:
        await client.connect(
            servers=[self._identity.nats_url],
            name=f"holdfast-agent {self._identity.host}",
            nkeys_seed_str=self._identity.nats_seed,
            inbox_prefix=subjects.inbox(subjects.host_role(self._identity.host)),
            max_reconnect_attempts=-1,
            reconnect_time_wait=_AGAIN_S,
            ping_interval=20,
            max_outstanding_pings=2,
            # Nothing may wait inside the client: what is not acknowledged is sent again from disk.
            pending_size=0,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_connected,
            closed_cb=self._on_closed,
        )

    async def _on_connected(self) -> None:
        self._complaint = ""
        self._up.set()
        self._renewed.set()
        self._renewed = asyncio.Event()
        for reading in self._readings:
            reading.renew()

    async def _on_disconnected(self) -> None:
        if self._up.is_set():
            log.warning("connection to NATS lost; holding goes on, messages wait on disk")
        self._up.clear()

    async def _on_closed(self) -> None:
        self._closed.set()

    async def _on_error(self, error: Exception) -> None:
        complaint = repr(error)
        if complaint != self._complaint:  # the same refusal again and again is one line
            self._complaint = complaint
            log.warning("NATS at %s: %s", self._identity.nats_url, complaint)

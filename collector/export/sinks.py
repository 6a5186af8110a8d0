"""Where records of a continuous export go: to a receiver of syslog, or to a signed webhook."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from collector.channels.http import Http
from collector.channels.targets import Targets
from collector.channels.webhook import key_of, signed
from collector.export.position import Sending
from collector.export.settings import Export
from collector.export.syslog import Record, host_name, message
from collector.export.syslog_wire import Wire


class Sink(Protocol):
    """A receiver. `send` returns once all of it was taken.

    It raises ChannelBusyError for what is tried again, and ChannelError for what is refused.
    """

    async def send(self, sending: Sending, records: Sequence[Record]) -> None:
        """Deliver records; the same `sending` is the same delivery."""

    async def close(self) -> None:
        """Let go of connections."""


class SyslogSink:
    """One message for each record."""

    def __init__(self, settings: Export, wire: Wire) -> None:
        self._settings, self._wire = settings, wire
        self._host = host_name()

    async def send(self, sending: Sending, records: Sequence[Record]) -> None:
        """Send the messages, of which each has the number of its record."""
        await self._wire.send(await asyncio.to_thread(self._messages, records))

    async def close(self) -> None:
        """End the connection."""
        await self._wire.close()

    def _messages(self, records: Sequence[Record]) -> list[bytes]:
        one = self._settings
        return [
            message(
                record,
                facility=one.facility,
                host=self._host,
                longest=one.longest_bytes,
                shape=one.format,
            )
            for record in records
        ]


class WebhookSink:
    """One post for each delivery, signed as those of the channel `webhook` are."""

    def __init__(self, settings: Export, directory: Path, http: Http) -> None:
        self._settings = settings
        self._targets = Targets(directory, "webhook")
        self._http = http

    async def send(self, sending: Sending, records: Sequence[Record]) -> None:
        """Post the records under the id of their delivery."""
        name = self._settings.to
        url, place = self._targets.url(name), self._targets.place(name, "secret")
        keys = [key_of(secret, place) for secret in self._targets.secrets(name)]
        body = await asyncio.to_thread(self._body, sending, records)
        headers = signed(sending.delivery, int(time.time()), body, keys)
        headers["idempotency-key"] = headers["webhook-id"]
        await self._http.post(url, body, headers)

    async def close(self) -> None:
        """Let go of what is open."""
        await self._http.close()

    def _body(self, sending: Sending, records: Sequence[Record]) -> bytes:
        return msgspec.json.encode(
            {
                "type": "trail.records",
                "export": self._settings.name,
                "format": self._settings.format.value,
                "table": sending.source,
                "first_number": sending.number,
                "records": [record.make(record.row) for record in records],
            }
        )

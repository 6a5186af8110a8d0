"""Publishes into streams: each message once, and where the stream admits one, whose it was.

A message id is unguessable, and a `duplicate` acknowledgement is an error unless it answers our
own retry: otherwise somebody else's message stands where ours should.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import Header

from collector.errors import CentreError, UnavailableError, UnconfirmedError
from wire.ids import new_id

_TRIES = 3
_PAUSE_S = 0.3


@dataclass(frozen=True, slots=True)
class Stored:
    """What a stream holds under a subject that admits one message."""

    data: bytes
    headers: Mapping[str, str]


class Publisher:
    """The only way in which the collector writes to a stream."""

    def __init__(
        self, client: Client, *, timeout_s: float, message_id: Callable[[], str] = new_id
    ) -> None:
        """`timeout_s`: how long to wait for each acknowledgement."""
        self._client = client
        self._message_id = message_id
        self._js = client.jetstream(timeout=timeout_s)
        self._timeout_s = timeout_s

    @property
    def connected(self) -> bool:
        """Whether NATS can be reached now."""
        return self._client.is_connected

    async def append(
        self, stream: str, subject: str, data: bytes, headers: Mapping[str, str]
    ) -> None:
        """Store one more message under a subject; raise UnavailableError or UnconfirmedError."""
        try:
            await self._send(stream, subject, data, dict(headers))
        except nats.js.errors.APIError as error:
            raise UnavailableError(f"stream {stream} takes nothing: {error.description}") from error

    async def first(
        self, stream: str, subject: str, data: bytes, headers: Mapping[str, str]
    ) -> Stored | None:
        """Store the one message of a subject: None if it is ours now, else what was there before.

        Raises UnavailableError if nothing was stored, UnconfirmedError if that is not known.
        """
        wanted = dict(headers) | {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: "0"}
        try:
            await self._send(stream, subject, data, wanted)
        except nats.js.errors.APIError as error:
            stored = await self.stored(stream, subject)
            if stored is None:
                raise UnavailableError(
                    f"stream {stream} takes nothing: {error.description}"
                ) from error
            # Our own first try may have been stored and its acknowledgement lost.
            return None if stored.data == data else stored
        return None

    async def stored(self, stream: str, subject: str) -> Stored | None:
        """Return the newest message of a subject, None if there is none; raise UnconfirmedError."""
        try:
            message = await self._js.get_last_msg(stream, subject)
        except nats.js.errors.NotFoundError:
            return None
        except (TimeoutError, nats.errors.Error) as error:
            raise UnconfirmedError(
                f"{subject} cannot be read back: {error or 'no answer'}"
            ) from error
        return Stored(message.data or b"", message.headers or {})

    async def newest_subject(self, stream: str, subject: str) -> str:
        """Return the subject of the newest message under one with wildcards, "" if there is none.

        Raises UnconfirmedError.
        """
        try:
            return (await self._js.get_last_msg(stream, subject)).subject or ""
        except nats.js.errors.NotFoundError:
            return ""
        except (TimeoutError, nats.errors.Error) as error:
            raise UnconfirmedError(
                f"{subject} cannot be read back: {error or 'no answer'}"
            ) from error

    async def _send(self, stream: str, subject: str, data: bytes, headers: dict[str, str]) -> None:
        headers |= {Header.MSG_ID.value: self._message_id(), Header.EXPECTED_STREAM.value: stream}
        sent = False  # whether the server may have seen it
        for attempt in range(_TRIES):
            try:
                ack = await self._js.publish(
                    subject, data, headers=dict(headers), timeout=self._timeout_s
                )
            except nats.js.errors.APIError:
                raise
            except nats.js.errors.NoStreamResponseError:
                await asyncio.sleep(_PAUSE_S)  # the server is up and JetStream is not yet
                continue
            except TimeoutError:
                sent = True
                continue
            except (nats.errors.Error, OSError) as error:
                kind = UnconfirmedError if sent else UnavailableError
                raise kind(f"NATS is not connected ({type(error).__name__})") from error
            if ack.duplicate and attempt == 0:
                raise CentreError(
                    f"{subject}: the server calls a new message a duplicate; another one stands in "
                    "its place"
                )
            return
        if sent:
            raise UnconfirmedError(f"{subject}: no acknowledgement after {_TRIES} tries")
        raise UnavailableError(f"stream {stream} does not answer")

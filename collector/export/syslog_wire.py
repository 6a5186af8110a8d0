"""Connections to receivers of syslog: over TLS, TCP and UDP.

Syslog has no acknowledgement. Over TCP and TLS a message counts as taken once the kernel of the far
side has confirmed its last byte and the connection stands; over UDP once it has been handed on.
"""

import asyncio
import fcntl
import ssl
import struct
import termios
from collections.abc import Sequence
from typing import Protocol

from collector.errors import ChannelBusyError, ConfigError
from collector.export.settings import Export, Transport, address_of
from collector.export.syslog import framed

# The kernel has no event for "the other side has confirmed everything".
_CONFIRMED_S = 0.005
_AT_ONCE = 64


class Wire(Protocol):
    """A way to a receiver."""

    async def send(self, messages: Sequence[bytes]) -> None:
        """Return once they count as taken; raise ChannelBusyError if any may be lost."""

    async def close(self) -> None:
        """Let go of it."""


class Stream:
    """TCP or TLS; connected when there is something to send, and anew after every failure."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None, timeout_s: float):
        self._host, self._port, self._context = host, port, context
        self._timeout_s = timeout_s
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, messages: Sequence[bytes]) -> None:
        """Send all of them on one connection, or say that all are to be sent again."""
        try:
            await self._send(messages)
        except (OSError, TimeoutError, ssl.SSLError) as error:
            self._abort()
            why = str(error) or "it takes nothing in time"
            raise ChannelBusyError(f"{self._host}:{self._port}: {why}", unsure=True) from error
        except BaseException:
            self._abort()
            raise

    async def close(self) -> None:
        """End the connection in order."""
        if self._writer is not None:
            self._writer.close()
            self._abort()

    async def _send(self, messages: Sequence[bytes]) -> None:
        writer = await self._connected()
        for start in range(0, len(messages), _AT_ONCE):
            some = messages[start : start + _AT_ONCE]
            writer.write(b"".join(map(framed, some)))
            async with asyncio.timeout(self._timeout_s):
                await writer.drain()
        async with asyncio.timeout(self._timeout_s):
            confirmed = 0
            # Twice: under TLS there is a buffer in between that nobody can see into.
            while confirmed < 2:
                await asyncio.sleep(_CONFIRMED_S)
                self._check_open()
                confirmed = 0 if _unconfirmed(writer) else confirmed + 1

    async def _connected(self) -> asyncio.StreamWriter:
        await asyncio.sleep(0)  # so that an end that has come is known
        if self._writer is not None and not self._ended():
            return self._writer
        self._abort()
        async with asyncio.timeout(self._timeout_s):
            self._reader, self._writer = await asyncio.open_connection(
                self._host, self._port, ssl=self._context
            )
        return self._writer

    def _ended(self) -> bool:
        assert self._reader is not None and self._writer is not None
        return (
            self._reader.at_eof()
            or self._reader.exception() is not None
            or self._writer.transport.is_closing()
        )

    def _check_open(self) -> None:
        """A receiver that has closed may have left what was sent unread."""
        if self._ended():
            raise ConnectionResetError("it has closed the connection")

    def _abort(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None


class Datagrams:
    """UDP: one message each. What gets lost on the way is lost."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._host, self._port, self._timeout_s = host, port, timeout_s
        self._transport: asyncio.DatagramTransport | None = None
        self._errors = _Errors()

    async def send(self, messages: Sequence[bytes]) -> None:
        """Hand all of them on."""
        try:
            async with asyncio.timeout(self._timeout_s):
                transport = await self._opened()
                for place, text in enumerate(messages):
                    transport.sendto(text)
                    if place % _AT_ONCE == 0:
                        await asyncio.sleep(0)
                # An unreachable port on this machine is told at once.
                await asyncio.sleep(_CONFIRMED_S)
            self._errors.check()
        except (OSError, TimeoutError) as error:
            await self.close()
            why = str(error) or "no address in time"
            raise ChannelBusyError(f"{self._host}:{self._port}: {why}", unsure=True) from error

    async def close(self) -> None:
        """Let go of the socket."""
        if self._transport is not None:
            self._transport.abort()
        self._transport = None

    async def _opened(self) -> asyncio.DatagramTransport:
        if self._transport is None:
            self._errors = _Errors()
            self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: self._errors, remote_addr=(self._host, self._port)
            )
        return self._transport


class _Errors(asyncio.DatagramProtocol):
    """Keeps what the network said."""

    def __init__(self) -> None:
        self._found: Exception | None = None

    def error_received(self, exc: Exception) -> None:
        """Keep it."""
        self._found = exc

    def check(self) -> None:
        """Raise what was kept."""
        found, self._found = self._found, None
        if found is not None:
            raise found


def wire_to(settings: Export) -> Wire:
    """Return the way to a receiver; raise ConfigError if a certificate cannot be used."""
    place = f"export {settings.name!r}"
    host, port = address_of(settings, place=place)
    if settings.transport is Transport.UDP:
        return Datagrams(host, port, settings.timeout_s)
    if settings.transport is Transport.TCP:
        return Stream(host, port, None, settings.timeout_s)
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca or None)
        if settings.tls_certificate:
            context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{place}: tls_ca, tls_certificate and tls_key must be PEM files that can be read "
            f"({error})"
        ) from error
    return Stream(host, port, context, settings.timeout_s)


def _unconfirmed(writer: asyncio.StreamWriter) -> int:
    """Return how many bytes the far side has not confirmed yet (Linux: TIOCOUTQ of tcp(7))."""
    transport = writer.transport
    if transport.get_write_buffer_size():
        return 1
    found = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return int(struct.unpack("i", found)[0])

"""One connection to NATS under the collector's key: it reconnects for ever and buffers nothing."""

import logging
import ssl
from collections.abc import Callable
from pathlib import Path

import nats
import nats.errors
from nats.aio.client import Client

from collector.errors import CentreError
from collector.keys import read_nats_key
from wire.subjects import inbox

log = logging.getLogger(__name__)

_CONNECT_S = 5
_PAUSE_S = 0.5


async def connect(
    *,
    url: str,
    seed_file: Path,
    tls_ca: str = "",
    once: bool = False,
    on_reconnect: Callable[[], None] | None = None,
    on_closed: Callable[[], None] | None = None,
) -> Client:
    """Return a connected client. `once`: fail with CentreError instead of trying for ever.

    While NATS is away a publish raises at once instead of being kept for later: a decision must
    never arrive after its author was told that nothing was decided. `on_closed` hears of a
    connection that the client itself has given up, for example because the key was taken away.
    """
    key = read_nats_key(seed_file)
    told = ""
    client: Client | None = None

    async def report(error: Exception) -> None:
        nonlocal told
        text = f"{type(error).__name__}: {error}"
        if text != told:  # once per kind of trouble, not once per attempt
            log.warning("nats: %s: %s", url, text)
        told = text

    async def lost() -> None:
        if client is None or client.is_closed:
            return  # closed by us
        log.warning("nats: connection to %s lost; trying until it is back", url)

    async def back() -> None:
        nonlocal told
        told = ""
        log.info("nats: connected to %s again", url)
        if on_reconnect is not None:
            on_reconnect()

    async def closed() -> None:
        if on_closed is not None:
            on_closed()

    try:
        client = await nats.connect(
            url,
            name="holdfast-collector",
            nkeys_seed_str=key.seed,
            inbox_prefix=inbox("collector").encode(),
            tls=tls_context(tls_ca),
            allow_reconnect=not once,
            # Also bounds the first connection; 0 would mean for ever.
            max_reconnect_attempts=1 if once else -1,
            reconnect_time_wait=_PAUSE_S,
            connect_timeout=_CONNECT_S,
            ping_interval=10,
            pending_size=0,
            error_cb=report,
            disconnected_cb=lost,
            reconnected_cb=back,
            closed_cb=closed,
        )
        return client
    except (TimeoutError, OSError, nats.errors.Error) as error:
        raise CentreError(
            f"{url}: no connection to NATS ({error or type(error).__name__}); is it running? "
            "Start it with nats-server -c <state>/nats/nats.conf"
        ) from error


def tls_context(authority: str) -> ssl.SSLContext | None:
    """Return a context that trusts this certificate authority alone; None for no file."""
    if not authority:
        return None
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise CentreError(f"nats.tls_ca: {authority} cannot be used: {error}") from error

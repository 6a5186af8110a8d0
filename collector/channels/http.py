"""Posts a body to an address, and says what the answer means: accepted, not now, or never.

No redirect is followed: it would carry what is secret to an address that nobody has written down.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import httpx

from collector.errors import ChannelBusyError, ChannelError, TooLargeError
from collector.sanitize import clean

# They log every address, and an address may be a credential.
for _talker in ("httpx", "httpcore"):
    logging.getLogger(_talker).setLevel(logging.WARNING)

_BUSY = frozenset({408, 425, 429})
# The gateway knows no more than we do of what became of it.
_UNSURE = frozenset({500, 502, 504})
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_TOO_LARGE = 413
_READ = 2000
_SHOWN = 200


class Http:
    """Posts, one connection for each: one that idles may be gone, and the post with it."""

    def __init__(self, *, timeout_s: float, tls_ca: str = "") -> None:
        """`timeout_s` is for the whole exchange; `tls_ca` (PEM) is trusted instead of the system's.

        Raise ChannelError if that file cannot be used.
        """
        try:
            context = ssl.create_default_context(cafile=tls_ca or None)
        except (OSError, ValueError) as error:
            raise ChannelError(f"{tls_ca}: not certificates in PEM ({error}); mend it") from error
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            verify=context,
            timeout=timeout_s,
            follow_redirects=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def close(self) -> None:
        """Let go of what is open."""
        await self._client.aclose()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Return once it is accepted; raise ChannelBusyError or ChannelError."""
        sent = {"Content-Type": "application/json", "User-Agent": "holdfast", **headers}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", url, content=body, headers=sent) as answer,
            ):
                if not answer.is_success:
                    raise _failure(answer, await _start_of(answer))
        except _NOT_SENT as error:
            raise ChannelBusyError(f"no connection: {_words(error)}") from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise ChannelBusyError(f"no answer: {_words(error)}", unsure=True) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise ChannelError("the address cannot be used; mend its file") from error


def retry_after(text: str | None, now_s: float) -> float | None:
    """Return the seconds that a Retry-After header asks for; None if it says nothing."""
    if text is None:
        return None
    if text.strip().isdecimal() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_s)
    except (ValueError, OverflowError, TypeError):
        return None


def _failure(answer: httpx.Response, text: str) -> ChannelBusyError | ChannelError:
    status = answer.status_code
    words = f"answered {status}" + (f": {text}" if text else "")
    if status in _BUSY or status >= 500:
        wish_s = retry_after(answer.headers.get("Retry-After"), time.time())
        return ChannelBusyError(words, retry_after_s=wish_s, unsure=status in _UNSURE)
    if answer.is_redirect:
        return ChannelError(
            f"answered {status}: redirects are not followed; write the last address into the file"
        )
    return TooLargeError(words) if status == _TOO_LARGE else ChannelError(words)


async def _start_of(answer: httpx.Response) -> str:
    """Return how the body begins, fit to be logged."""
    data = b""
    async for chunk in answer.aiter_raw():
        data += chunk
        if len(data) >= _READ:
            break
    return clean(data[:_READ].decode(errors="replace").strip(), _SHOWN).text


def _words(error: Exception) -> str:
    return clean(str(error), _SHOWN).text or type(error).__name__

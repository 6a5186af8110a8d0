"""Talks HTTP to the centre's API, and turns its refusals into errors with exit codes."""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx

from collector.cli.errors import (
    AccessError,
    CliError,
    NotFoundError,
    OverError,
    OwnRequestError,
    UnreachableError,
    UsageError,
)
from collector.cli.events import Event, read_events
from collector.cli.settings import Access, is_loopback
from collector.words import clock

Facts = dict[str, Any]

_TIMEOUT_S = 30.0
_PAGE_S = 300.0  # many questions, one after another
# The centre sends a sign of life every 15 seconds.
_SILENCE_S = 45.0
_SORTING_S = 600.0

_BY_CODE: Mapping[str, type[CliError]] = {
    "own_request": OwnRequestError,
    "unknown_request": NotFoundError,
    "unknown_grant": NotFoundError,
    "unknown_quarantine": NotFoundError,
    "unknown_subject": NotFoundError,
    "unknown_host": NotFoundError,
    "ambiguous_prefix": NotFoundError,
    "already_decided": OverError,
    "already_revoked": OverError,
    "already_lifted": OverError,
    "already_quarantined": OverError,
}
_BY_STATUS: Mapping[int, type[CliError]] = {
    401: AccessError,
    403: AccessError,
    410: OverError,
    413: UsageError,
    422: UsageError,
    502: UnreachableError,
    503: UnreachableError,
    504: UnreachableError,
}


class Centre:
    """One connection to one centre. Every method raises CliError."""

    def __init__(self, access: Access, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._url = access.url
        # A proxy from the environment has no way to this machine's own loopback.
        direct = is_loopback(urlsplit(access.url).hostname or "")
        self._client = httpx.Client(
            base_url=f"{access.url}/api/v1",
            headers=_headers(access),
            timeout=timeout_s,
            trust_env=not direct,
        )

    def __enter__(self) -> "Centre":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, and with it whoever follows on it."""
        self._client.close()

    def get(self, route: str, /, **filters: str | int | None) -> Facts:
        """Return the answer to a question; filters that are None are left out."""
        given = {name: value for name, value in filters.items() if value is not None}
        try:
            return _facts(self._client.get(route, params=given))
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def page(self, route: str, /, **filters: str | int | None) -> bytes:
        """Return a page of HTML; filters that are None are left out."""
        given = {name: value for name, value in filters.items() if value is not None}
        try:
            response = self._client.get(route, params=given, timeout=_PAGE_S)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if not response.is_success:
            raise refusal(response)
        return response.content

    def post(self, path: str, body: Mapping[str, Any], *, changes: bool = True) -> Facts:
        """Return the answer to something said; `changes` says whether it alters anything."""
        try:
            return _facts(self._client.post(path, json=body))
        except httpx.ConnectError as error:
            raise self._unreachable(error) from error
        except httpx.HTTPError as error:
            if not changes:
                raise self._unreachable(error) from error
            raise UnreachableError(
                "answer_unconfirmed",
                f"the centre did not confirm what you said ({_words(error)})",
                "see with `holdfast show` whether it counts before you say it again",
            ) from error

    def follow(self) -> Iterator[Event]:
        """Yield the events of the stream of requests until it ends.

        First comes every open request, then `ready`, then each request that changes.
        """
        timeout = httpx.Timeout(_TIMEOUT_S, read=_SILENCE_S)
        try:
            with self._client.stream("GET", "/requests/stream", timeout=timeout) as response:
                if not response.is_success:
                    response.read()
                    raise refusal(response)
                yield from read_events(response.iter_bytes())
        except (httpx.HTTPError, httpx.StreamError, RuntimeError) as error:
            # RuntimeError: the client was closed meanwhile, which is how following is ended.
            raise self._unreachable(error) from error

    def download(self, route: str, /, **filters: str | int | None) -> Iterator[bytes]:
        """Yield what a route streams, as it comes; raise UnreachableError if it is cut off."""
        given = {name: value for name, value in filters.items() if value is not None}
        # Between two parts the centre may sort for long.
        timeout = httpx.Timeout(_TIMEOUT_S, read=_SORTING_S)
        try:
            with self._client.stream("GET", route, params=given, timeout=timeout) as response:
                if not response.is_success:
                    response.read()
                    raise refusal(response)
                yield from response.iter_bytes()
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> UnreachableError:
        return UnreachableError(
            "unreachable",
            f"the centre at {self._url} does not answer ({_words(error)})",
            "see that it runs and that --url or HOLDFAST_URL is right",
        )


def refusal(response: httpx.Response) -> CliError:
    """Return the error that an answer with a status of 300 or more stands for."""
    said = _error_of(response)
    if said is None:
        kind = _BY_STATUS.get(response.status_code, CliError)
        return kind(
            "not_holdfast",
            f"{response.url} answered {response.status_code} and not as Holdfast does",
            "see that --url or HOLDFAST_URL is the address of the collector",
        )
    return refused(said, response.status_code)


def refused(said: Mapping[str, Any], status: int) -> CliError:
    """Return the error that the centre's refusal stands for."""
    extra = dict(said)
    code = str(extra.pop("code"))
    message, remedy = str(extra.pop("message")), str(extra.pop("remedy", ""))
    if code == "already_decided":
        message = _already(extra, message)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, CliError)
    return kind(code, message, remedy, extra)


def _headers(access: Access) -> dict[str, str]:
    # Who has no token yet has only sign-in to ask about.
    proof = {"Authorization": f"Bearer {access.token}"} if access.token else {}
    return {**proof, "User-Agent": "holdfast-cli"}


def _facts(response: httpx.Response) -> Facts:
    if not response.is_success:
        raise refusal(response)
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise CliError(
            "not_holdfast",
            f"{response.url} did not answer in Holdfast's JSON",
            "see that --url or HOLDFAST_URL is the address of the collector",
        )
    return body


def _error_of(response: httpx.Response) -> Facts | None:
    try:
        body = response.json()
    except ValueError:
        return None
    said = body.get("error") if isinstance(body, dict) else None
    return dict(said) if isinstance(said, dict) and {"code", "message"} <= said.keys() else None


def _already(said: Mapping[str, Any], message: str) -> str:
    answer, when = said.get("answer"), said.get("decided_ns")
    if answer not in ("approve", "deny") or not isinstance(when, int):
        return message
    verb = "approved" if answer == "approve" else "denied"
    reason = f": {said['reason']}" if said.get("reason") else ""
    return f"already {verb} by {said.get('decided_by')} at {clock(when)}{reason}"


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__

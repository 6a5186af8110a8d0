"""Asks Holdfast for approval from a program: `approval(...)` waits, `needs_approval` decorates.

One file with nothing but the standard library of Python 3.9 or later, so that a CI job or a tool
server can carry a copy. HOLDFAST_URL says where the centre is, HOLDFAST_TOKEN who asks. Whatever
goes wrong is no approval: a function returns only if people approved.

    NotApproved                 it must not be done
    ├── Denied                  somebody said no; .reason says why
    ├── Expired                 nobody answered in time
    ├── Withdrawn               it was withdrawn meanwhile
    └── AskFailed               the centre could not be asked, or did not take the ask
"""

import functools
import http.client
import inspect
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional, TypeVar

__all__ = [
    "Approval",
    "AskFailed",
    "Denied",
    "Expired",
    "NotApproved",
    "Withdrawn",
    "approval",
    "needs_approval",
]

_WAIT_S = 20
_ANSWER_S = 40
_AGAIN_S = 2.0
_LATEST_S = 120.0
_LARGEST = 1 << 20
_TRIES = 3
# It is being started, or a proxy before it has nobody behind it: an answer will come.
_PASSING = (502, 503, 504)

F = TypeVar("F", bound=Callable[..., Any])


class NotApproved(Exception):
    """It must not be done. `ask` is its id, if there is one; `by` and `reason` are as decided."""

    def __init__(self, message: str, *, ask: str = "", by: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.ask = ask
        self.by = by
        self.reason = reason


class Denied(NotApproved):
    """Somebody said no."""


class Expired(NotApproved):
    """Nobody answered in time; that is no one's refusal, and no approval."""


class Withdrawn(NotApproved):
    """It was withdrawn before anybody answered."""


class AskFailed(NotApproved):
    """The centre could not be asked, or did not take the ask; the message says why."""


_ENDS = {"denied": Denied, "expired": Expired, "cancelled": Withdrawn}


@dataclass(frozen=True)
class Approval:
    """Who approved what, and why. It is for one use."""

    ask: str
    by: str
    reason: str


def approval(
    action: str,
    resource: str,
    why: str,
    *,
    severity: str = "medium",
    timeout_s: Optional[int] = None,
    details: Optional[Mapping[str, str]] = None,
    on_behalf_of: "tuple[str, ...]" = (),
    key: str = "",
    url: str = "",
    token: str = "",
) -> Approval:
    """Ask, and return once people have approved; raise NotApproved otherwise.

    `key` makes a second sending the same ask; without one each call asks anew.
    """
    centre = _Centre(url or os.environ.get("HOLDFAST_URL", ""), token)
    body = {
        "action": action,
        "resource": resource,
        "why": why,
        "severity": severity,
        "timeout_s": timeout_s,
        "details": dict(details or {}),
        "on_behalf_of": list(on_behalf_of),
        "key": key or uuid.uuid4().hex,
    }
    found = centre.open(body)
    try:
        found = centre.end_of(found)
    except BaseException:
        # Nobody waits for it any more: nobody need decide it.
        centre.withdraw(found["ask"])
        raise
    if found["state"] == "approved":
        return Approval(ask=found["ask"], by=found["by"], reason=found["reason"])
    kind = _ENDS.get(found["state"], AskFailed)
    raise kind(found["state_line"], ask=found["ask"], by=found["by"], reason=found["reason"])


def needs_approval(action: str, resource: str, why: str, **options: Any) -> Callable[[F], F]:
    """Decorate a function that runs only once people have approved that call.

    `resource`, `why` and the values of `details` may name arguments: "production/{service}".
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = dict(options)
            if "details" in given:
                given["details"] = {
                    name: text.format(**bound.arguments) for name, text in given["details"].items()
                }
            approval(
                action,
                resource.format(**bound.arguments),
                why.format(**bound.arguments),
                **given,
            )
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


class _RefusedError(Exception):
    """The centre's own refusal."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        super().__init__(f"{error.get('message', status)}; {error.get('remedy', '')}")
        self.status = status
        self.code = str(error.get("code", ""))
        self.ask = str(error.get("ask", ""))


class _Centre:
    """Talks to one centre. Raises AskFailed."""

    def __init__(self, url: str, token: str) -> None:
        token = token or os.environ.get("HOLDFAST_TOKEN", "")
        if not url or not token:
            raise AskFailed("set HOLDFAST_URL to the centre's address, and HOLDFAST_TOKEN")
        parts = urllib.parse.urlsplit(url)
        local = parts.hostname in ("127.0.0.1", "::1", "localhost")
        if parts.scheme != "https" and not (parts.scheme == "http" and local):
            raise AskFailed(f"{url}: the token must not cross a network in the clear; use https://")
        self._url = url.rstrip("/") + "/api/v1/asks"
        self._token = token
        # A redirect would carry the token on, and a proxy has no way to this machine's loopback.
        handlers: "list[Any]" = [_NoRedirect()]
        if local:
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def open(self, body: Mapping[str, Any]) -> Dict[str, Any]:
        for tried in range(_TRIES):
            try:
                return self._send("", body)
            except _RefusedError as refused:
                # An earlier sending of this call was stored, and decided before it was heard of.
                if refused.code == "ask_over" and tried:
                    return self._get(refused.ask)
                if refused.status not in _PASSING or tried == _TRIES - 1:
                    raise AskFailed(str(refused)) from refused
            except OSError as error:
                if tried == _TRIES - 1:
                    raise AskFailed(f"{self._url} does not answer: {error}") from error
            time.sleep(_AGAIN_S)
        raise AskFailed(f"{self._url} does not answer")

    def end_of(self, found: Dict[str, Any]) -> Dict[str, Any]:
        left_s = max(0, found["deadline_ns"] - found["opened_ns"]) / 1e9
        latest = time.monotonic() + left_s + _LATEST_S
        while found["state"] == "open":
            try:
                found = self._send(f"/{found['ask']}?wait={_WAIT_S}")
            except _RefusedError as refused:
                if refused.status not in _PASSING or time.monotonic() > latest:
                    raise AskFailed(str(refused), ask=found["ask"]) from refused
                time.sleep(_AGAIN_S)
            except OSError as error:
                if time.monotonic() > latest:
                    raise AskFailed(
                        f"{self._url} does not answer: {error}", ask=found["ask"]
                    ) from error
                time.sleep(_AGAIN_S)
        return found

    def withdraw(self, ask: str) -> None:
        try:
            self._send(f"/{ask}/withdraw", {})
        except (_RefusedError, OSError, AskFailed):
            pass  # it expires by itself

    def _get(self, ask: str) -> Dict[str, Any]:
        try:
            return self._send(f"/{ask}")
        except (_RefusedError, OSError) as error:
            raise AskFailed(str(error), ask=ask) from error

    def _send(self, path: str, body: Optional[Mapping[str, Any]] = None) -> Dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, data=data, headers=headers)
        try:
            with self._opener.open(request, timeout=_ANSWER_S) as answer:
                found = json.loads(answer.read(_LARGEST))
        except urllib.error.HTTPError as error:
            raise _RefusedError(error.code, _error_of(error)) from error
        except http.client.HTTPException as error:  # cut off in the middle
            raise OSError(f"{type(error).__name__}: {error}") from error
        except ValueError as error:
            raise AskFailed(f"{self._url} did not answer as Holdfast does") from error
        if not isinstance(found, dict) or not {"ask", "state"} <= found.keys():
            raise AskFailed(f"{self._url} did not answer as Holdfast does")
        return found


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _error_of(error: urllib.error.HTTPError) -> Mapping[str, Any]:
    try:
        said = json.loads(error.read(_LARGEST))["error"]
    except (ValueError, KeyError, TypeError, OSError):
        return {"message": f"the centre answered {error.code}"}
    return said if isinstance(said, dict) else {}

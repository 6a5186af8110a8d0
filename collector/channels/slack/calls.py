"""Asks Slack's Web API, and says of each failure whether asking again is of use.

`ok: false` comes with HTTP 200, and a request that broke off may have been carried out.
"""

from collections.abc import Awaitable
from typing import Any

import aiohttp
from slack_sdk.errors import SlackClientError
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from collector.errors import ChannelBusyError, ChannelError
from collector.sanitize import clean

# Slack's own trouble, by the names that it gives it.
_BUSY = frozenset(
    {
        "fatal_error",
        "internal_error",
        "service_unavailable",
        "request_timeout",
        "team_added_to_org",
        "external_channel_migrating",
    }
)
_RATE_LIMITED = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
_TOKEN = "put a valid bot token into slack.bot_token_file and restart the collector"  # noqa: S105
_INVITE = "check the name, and invite the app there: /invite @Holdfast"
_REMEDIES = {
    "invalid_auth": _TOKEN,
    "not_authed": _TOKEN,
    "token_revoked": _TOKEN,
    "token_expired": _TOKEN,
    "account_inactive": _TOKEN,
    "missing_scope": "reinstall the app with the scopes of deploy/slack/manifest.yaml",
    "channel_not_found": _INVITE,
    "not_in_channel": _INVITE,
    "is_archived": "name another conversation in the routes",
    "restricted_action": "let the app post there, in the settings of the workspace",
    "cannot_dm_bot": "name a person",
    "expired_trigger_id": "the click took more than three seconds to get here",
}
_DEFAULT_RETRY_S = 30.0


class SlackRefusedError(ChannelError):
    """Slack does not do it; `code` is its name for why."""

    def __init__(self, code: str) -> None:
        shown = clean(code, 80).text or "no reason given"
        remedy = _REMEDIES.get(code, "see docs/slack.md, and Slack's page on the method")
        super().__init__(f"Slack refuses: {shown}; {remedy}")
        self.code = code


async def asked(call: Awaitable[AsyncSlackResponse]) -> dict[str, Any]:
    """Return what Slack answers; raise ChannelBusyError or SlackRefusedError."""
    try:
        response = await call
    except SlackClientError as error:
        raise _failure(error) from error
    except aiohttp.ClientConnectorError as error:
        raise ChannelBusyError(f"Slack cannot be reached: {error}") from error
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise ChannelBusyError(
            f"no answer from Slack: {error or type(error).__name__}", unsure=True
        ) from error
    return response.data if isinstance(response.data, dict) else {}


def _failure(error: SlackClientError) -> ChannelBusyError | SlackRefusedError:
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    data = getattr(response, "data", None)
    code = str(data.get("error", "")) if isinstance(data, dict) else ""
    if status == 429 or code in _RATE_LIMITED:
        headers = getattr(response, "headers", {})
        return ChannelBusyError("Slack asks to wait", retry_after_s=_retry_after(headers))
    if not code or code in _BUSY or (isinstance(status, int) and status >= 500):
        # Slack may have done it before it failed.
        return ChannelBusyError(f"Slack has trouble: {code or status or error}", unsure=True)
    return SlackRefusedError(code)


def _retry_after(headers: Any) -> float:
    for name in ("Retry-After", "retry-after"):
        try:
            return float(headers[name])
        except (KeyError, TypeError, ValueError):
            continue
    return _DEFAULT_RETRY_S

"""Who sends something from Slack: a full member of our workspace, linked to a person, or nobody.

To be in a channel proves nothing; every click, command and comment is checked here anew.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from slack_sdk.web.async_client import AsyncWebClient

from collector.channels.slack.calls import asked
from collector.errors import ChannelBusyError, ChannelError, Refusal
from collector.identity.people import Caller

CHANNEL = "slack"
_FRESH_S = 30.0
_MOST_KNOWN = 2000

_NOT_MEMBERS = {
    "deleted": "your Slack account is deactivated",
    "is_bot": "bots and apps decide nothing",
    "is_workflow_bot": "workflows decide nothing",
    "is_ultra_restricted": "guests of a Slack workspace decide nothing",
    "is_restricted": "guests of a Slack workspace decide nothing",
    "is_stranger": "people of another Slack workspace decide nothing",
}


class Links(Protocol):
    """Which account of a channel is which person."""

    async def linked(self, channel: str, account: str) -> Caller | None:
        """Return the person whose account this is, or None."""

    async def accounts(self, channel: str, name: str) -> Sequence[str]:
        """Return the accounts that the person of this name has linked."""

    async def start_link(self, channel: str, account: str, label: str = "") -> str:
        """Return a code by which a signed-in person makes the account theirs."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where the app is installed: ids of the workspace, the app and its own user."""

    team: str
    app: str
    user: str


async def find_workspace(client: AsyncWebClient) -> Workspace:
    """Ask Slack who we are; raise ChannelError or ChannelBusyError."""
    own = await asked(client.auth_test())
    bot = await asked(client.bots_info(bot=str(own.get("bot_id", ""))))
    app = bot.get("bot", {}).get("app_id", "")
    found = Workspace(str(own.get("team_id", "")), str(app), str(own.get("user_id", "")))
    if not (found.team and found.app and found.user):
        raise ChannelError(
            "Slack does not say to which workspace and app the bot token belongs; put the token "
            "of a bot that is installed in one workspace into slack.bot_token_file"
        )
    return found


@dataclass(frozen=True, slots=True)
class Sender:
    """Where something came from, in Slack's own words."""

    team: str
    app: str
    user: str
    home: str = ""  # the user's own workspace, where Slack says so

    @classmethod
    def of(cls, body: dict[str, Any]) -> "Sender":
        """Read a click, a window, a command or an event."""
        user, team, event = body.get("user"), body.get("team"), body.get("event")
        if isinstance(event, dict):
            home = event.get("user_team") or event.get("team") or ""
            return cls(
                _text(body, "team_id"), _text(body, "api_app_id"), _text(event, "user"), home
            )
        if isinstance(user, dict):
            home, account = _text(user, "team_id"), _text(user, "id")
        else:
            home, account = "", _text(body, "user_id")
        where = _text(team, "id") if isinstance(team, dict) else _text(body, "team_id")
        return cls(where, _text(body, "api_app_id"), account, home)


@dataclass(frozen=True, slots=True)
class Said:
    """A command as it was typed: the words after the subcommand, and from whom."""

    words: str
    sender: Sender


class Door:
    """Lets people in, or refuses them in words."""

    def __init__(
        self,
        client: AsyncWebClient,
        links: Links,
        link_url: Callable[[str], str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`link_url` gives the page where a code is used."""
        self._client = client
        self._links = links
        self._link_url = link_url
        self._clock = clock
        self._users: OrderedDict[str, tuple[float, dict[str, Any]]] = OrderedDict()
        self.workspace: Workspace | None = None

    def check_origin(self, sender: Sender) -> None:
        """Raise Refusal unless it comes from our app in our workspace."""
        own = self.workspace
        if own is None:
            raise Refusal(503, "not_ready", "Slack is not connected yet", "try again in a minute")
        if sender.team != own.team or sender.home not in ("", own.team):
            raise _not_ours("this comes from another Slack workspace")
        if sender.app != own.app:
            raise _not_ours("this comes from another Slack app")
        if not sender.user or sender.user == own.user:
            raise _not_ours("nobody has sent this")

    async def admit(self, sender: Sender) -> Caller:
        """Return the person behind a sender; raise Refusal with what keeps them out."""
        self.check_origin(sender)
        await self._check_member(sender)
        caller = await self._links.linked(CHANNEL, f"{sender.team}/{sender.user}")
        if caller is None:
            link = await self.link(sender)
            raise Refusal(
                403,
                "not_linked",
                "Holdfast does not know whose Slack account this is, so nothing was decided",
                f"sign in once to link it (for ten minutes): {link}",
            )
        return caller

    async def accounts_of(self, name: str) -> Sequence[str]:
        """Return the ids of a person's linked accounts in this workspace."""
        if self.workspace is None:
            return ()
        here = f"{self.workspace.team}/"
        found = await self._links.accounts(CHANNEL, name)
        return [one.removeprefix(here) for one in found if one.startswith(here)]

    async def link(self, sender: Sender) -> str:
        """Return the page that makes the sender's account a person's; raise Refusal."""
        facts = await self._check_member(sender)
        label = f"Slack account {facts.get('name') or sender.user}"
        code = await self._links.start_link(CHANNEL, f"{sender.team}/{sender.user}", label)
        return self._link_url(code)

    async def _check_member(self, sender: Sender) -> dict[str, Any]:
        self.check_origin(sender)
        facts = await self._facts(sender.user)
        for flag, why in _NOT_MEMBERS.items():
            # What Slack leaves out is not so; anything else that it may say is.
            if facts.get(flag, False) is not False:
                raise Refusal(403, "slack_account", why, "ask a full member who is a reviewer")
        if facts.get("team_id") != sender.team:
            raise _not_ours("your Slack account belongs to another workspace")
        if facts.get("is_email_confirmed") is not True:
            raise Refusal(
                403,
                "slack_account",
                "the e-mail address of your Slack account is not confirmed",
                "confirm it in Slack, then try again",
            )
        return facts

    async def _facts(self, user: str) -> dict[str, Any]:
        known = self._users.get(user)
        if known is not None and self._clock() - known[0] < _FRESH_S:
            return known[1]
        try:
            answer = await asked(self._client.users_info(user=user))
        except (ChannelError, ChannelBusyError) as error:
            raise Refusal(
                503,
                "slack_account",
                f"Slack does not say who you are, so nothing was decided ({error})",
                "try again, or open the page of the request",
            ) from error
        facts = answer.get("user")
        if not isinstance(facts, dict) or facts.get("id") != user:
            raise _not_ours("Slack does not know this account")
        self._users[user] = (self._clock(), facts)
        self._users.move_to_end(user)
        if len(self._users) > _MOST_KNOWN:
            self._users.popitem(last=False)
        return facts


def _not_ours(why: str) -> Refusal:
    return Refusal(403, "slack_origin", why, "use the app of your own workspace")


def _text(source: dict[str, Any], key: str) -> str:
    found = source.get(key)
    return found if isinstance(found, str) else ""

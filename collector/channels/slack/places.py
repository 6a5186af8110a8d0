"""Finds the conversation that a route names: an id, "#name", a person's address, or the owner."""

import re
from collections.abc import Sequence

from slack_sdk.web.async_client import AsyncWebClient

from collector.channels.slack.calls import SlackRefusedError, asked
from collector.errors import ChannelError

OWNER = "owner"
_CONVERSATION = re.compile(r"[CGD][A-Z0-9]{6,20}")
_USER = re.compile(r"[UW][A-Z0-9]{6,20}")
_ADDRESS = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+\.[^\s@<>,;]+")
_MOST_OWNERS = 7  # Slack takes eight people in one conversation, with the app
_MOST_PAGES = 50


class Places:
    """Remembers what it has found: names and addresses change rarely, ids never."""

    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client
        self._found: dict[str, str] = {}

    async def find(self, to: str, owner: str) -> str:
        """Return a conversation's id; raise ChannelError or ChannelBusyError.

        `owner` is who answers for the subject, as the host's configuration says.
        """
        place = to.strip()
        if _CONVERSATION.fullmatch(place):
            return place
        key = f"{OWNER} {owner}" if place == OWNER else place
        if key not in self._found:
            self._found[key] = await self._look(place, owner)
        return self._found[key]

    async def _look(self, place: str, owner: str) -> str:
        if place.startswith("#"):
            return await self._named(place[1:])
        if _USER.fullmatch(place):
            return await self._direct([place])
        addresses = _ADDRESS.findall(owner if place == OWNER else place)[:_MOST_OWNERS]
        found = [user for one in addresses if (user := await self._user(one))]
        if not found:
            what = f"the owner {owner[:80]!r}" if place == OWNER else f"{place[:80]!r}"
            raise ChannelError(
                f"{what} is nobody in the Slack workspace; give e-mail addresses that people use "
                'there, or route to "#channel" or an id'
            )
        return await self._direct(list(dict.fromkeys(found)))

    async def _named(self, name: str) -> str:
        cursor = ""
        for _ in range(_MOST_PAGES):
            page = await asked(
                self._client.conversations_list(
                    types="public_channel,private_channel",
                    exclude_archived=True,
                    limit=500,
                    cursor=cursor,
                )
            )
            for one in page.get("channels", []):
                if one.get("name") == name:
                    return str(one["id"])
            cursor = page.get("response_metadata", {}).get("next_cursor", "")
            if not cursor:
                break
        raise ChannelError(
            f"Slack shows the app no channel #{name[:80]}; check the name, and invite the app "
            "there: /invite @Holdfast"
        )

    async def _user(self, address: str) -> str:
        try:
            answer = await asked(self._client.users_lookupByEmail(email=address))
        except SlackRefusedError as error:
            if error.code == "users_not_found":
                return ""
            raise
        return str(answer.get("user", {}).get("id", ""))

    async def _direct(self, users: Sequence[str]) -> str:
        answer = await asked(self._client.conversations_open(users=list(users)))
        found = answer.get("channel", {}).get("id")
        if not found:
            raise ChannelError("Slack has opened no conversation with that person; try again")
        return str(found)

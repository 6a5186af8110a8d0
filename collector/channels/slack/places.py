"""Finds the conversation that a route names: an id, "#name", an address, "@person" or the owner."""

import re
from collections.abc import Awaitable, Callable, Sequence

from slack_sdk.web.async_client import AsyncWebClient

from collector.channels.slack.calls import SlackRefusedError, asked
from collector.errors import ChannelError

OWNER = "owner"
PERSON = "@"  # before the name of somebody who is known to the collector
_CONVERSATION = re.compile(r"[CGD][A-Z0-9]{6,20}")
_USER = re.compile(r"[UW][A-Z0-9]{6,20}")
_ADDRESS = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+\.[^\s@<>,;]+")
_SEVERAL = re.compile(r"[,;]|\s(?:and|&)\s", re.IGNORECASE)
_MOST_OWNERS = 7  # Slack takes eight people in one conversation, with the app
_MOST_PAGES = 50


class Places:
    """Remembers what it has found: names and addresses change rarely, ids never.

    A person or owner is looked for each time, since accounts are linked at any time.
    """

    def __init__(
        self,
        client: AsyncWebClient,
        accounts: Callable[[str], Awaitable[Sequence[str]]] | None = None,
    ) -> None:
        """`accounts` gives the Slack accounts that a person has linked, by the person's name."""
        self._client = client
        self._accounts = accounts
        self._found: dict[str, str] = {}

    async def find(self, to: str, owner: str) -> str:
        """Return a conversation's id; raise ChannelError or ChannelBusyError.

        `owner` is who answers for the subject, as the host's configuration says.
        """
        place = to.strip()
        if _CONVERSATION.fullmatch(place):
            return place
        if place == OWNER or place.startswith(PERSON):
            return await self._look(place, owner)
        if place not in self._found:
            self._found[place] = await self._look(place, owner)
        return self._found[place]

    async def _look(self, place: str, owner: str) -> str:
        if place.startswith("#"):
            return await self._named(place[1:])
        if _USER.fullmatch(place):
            return await self._direct([place])
        people = _SEVERAL.split(owner) if place == OWNER else [place.removeprefix(PERSON)]
        found = [user for one in people[:_MOST_OWNERS] for user in await self._person(one.strip())]
        if not found:
            what = f"the owner {owner[:80]!r}" if place == OWNER else f"{place[:80]!r}"
            raise ChannelError(
                f"{what} is nobody in the Slack workspace; give e-mail addresses that people use "
                'there, have them link their accounts, or route to "#channel" or an id'
            )
        return await self._direct(list(dict.fromkeys(found))[:_MOST_OWNERS])

    async def _person(self, name: str) -> Sequence[str]:
        """Return a person's accounts: those they have linked, else the one with their address."""
        linked = await self._accounts(name) if self._accounts else ()
        if linked:
            return linked
        return await self._by_address(name) if _ADDRESS.fullmatch(name) else ()

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

    async def _by_address(self, address: str) -> Sequence[str]:
        try:
            answer = await asked(self._client.users_lookupByEmail(email=address))
        except SlackRefusedError as error:
            if error.code == "users_not_found":
                return ()
            raise
        found = answer.get("user", {}).get("id")
        return (str(found),) if found else ()

    async def _direct(self, users: Sequence[str]) -> str:
        answer = await asked(self._client.conversations_open(users=list(users)))
        found = answer.get("channel", {}).get("id")
        if not found:
            raise ChannelError("Slack has opened no conversation with that person; try again")
        return str(found)

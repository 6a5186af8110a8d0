"""Tells one person something in a conversation, where nobody else sees it."""

import logging
from typing import Any

import aiohttp
from slack_bolt.context.respond.async_respond import AsyncRespond
from slack_sdk.errors import SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from collector.channels.slack.calls import asked
from collector.channels.slack.elements import Block, section
from collector.errors import ChannelBusyError, ChannelError

log = logging.getLogger(__name__)

# Slack reads markup in this line, so it has no words of anyone else's.
_LINE = "Holdfast answers you"


class Teller:
    """Sends words that only one person sees."""

    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client

    async def tell(self, body: dict[str, Any], respond: AsyncRespond | None, words: str) -> None:
        """Tell whoever has clicked; the message's own address is used if the method is refused."""
        where = body.get("channel") or {}
        container = body.get("container") or {}
        if await self.whisper(
            str(where.get("id", "")),
            str(body.get("user", {}).get("id", "")),
            words,
            thread=str(container.get("thread_ts") or ""),
        ):
            return
        if respond is not None:
            await answer(respond, [section(words)])

    async def whisper(self, channel: str, user: str, words: str, thread: str = "") -> bool:
        """Say something to one person in a conversation; return whether Slack took it."""
        if not channel or not user:
            return False
        try:
            await asked(
                self._client.chat_postEphemeral(
                    channel=channel,
                    user=user,
                    text=_LINE,
                    blocks=[section(words)],
                    thread_ts=thread or None,
                )
            )
        except (ChannelError, ChannelBusyError) as error:
            log.info("slack: nobody could be told: %s", error)
            return False
        return True


async def answer(respond: AsyncRespond, blocks: list[Block]) -> None:
    """Answer a click or a command at the address that Slack gave for it."""
    try:
        await respond(text=_LINE, blocks=blocks, response_type="ephemeral", replace_original=False)
    except (SlackClientError, aiohttp.ClientError, TimeoutError, ValueError) as error:
        log.info("slack: nobody could be told: %s", error)

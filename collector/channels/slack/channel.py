"""Slack as a channel: posts and changes cards, and serves what comes in.

A card is found again by "conversation/timestamp". Retries are the dispatcher's.
"""

import asyncio
import hashlib
import logging
from typing import Any

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from collector.channels.interface import Notice, Posted
from collector.channels.slack.app import build, new_client
from collector.channels.slack.blocks import MESSAGE_ROOM, SMALL_ROOM, Message, message
from collector.channels.slack.calls import SlackRefusedError, asked
from collector.channels.slack.desk import Desk, showing
from collector.channels.slack.door import CHANNEL, find_workspace
from collector.channels.slack.elements import section
from collector.channels.slack.places import Places
from collector.channels.slack.settings import Secrets, Slack
from collector.errors import ChannelBusyError, ChannelError

log = logging.getLogger(__name__)

_EVENT_TYPE = "holdfast_card"
_TOO_LONG = frozenset({"msg_blocks_too_long", "msg_too_long", "invalid_blocks"})
_AGAIN_S = 30.0
# How far back a card is looked for that may have been posted.
_PAGES, _PAGE = 5, 200


class SlackChannel:
    """The channel of one workspace."""

    name = CHANNEL

    def __init__(
        self, settings: Slack, secrets: Secrets, desk: Desk, client: AsyncWebClient
    ) -> None:
        """`client` must be the one that the desk's door asks."""
        self._settings = settings
        self._secrets = secrets
        self._desk = desk
        self._client = client
        self._places = Places(client)
        self.app: AsyncApp = build(settings, secrets, client, desk)
        self.ready = asyncio.Event()

    async def post(self, notice: Notice) -> Posted:
        """Show a new card; raise ChannelError or ChannelBusyError."""
        record = await self._desk.book.get(notice.request)
        where = await self._places.find(notice.to, record.opened.owner if record else "")
        if notice.unsure and (found := await self._look_for(where, notice)) is not None:
            return await self.update(found, notice)
        answer = await self._send(
            notice,
            lambda made: self._client.chat_postMessage(
                channel=where,
                metadata={
                    "event_type": _EVENT_TYPE,
                    "event_payload": {"card": _mark(notice)},
                },
                unfurl_links=False,
                unfurl_media=False,
                **_content(made),
            ),
        )
        stamp = answer.get("ts")
        if not stamp:
            raise ChannelError("Slack took a card and did not say where it is, so it is not there")
        return Posted(f"{answer.get('channel') or where}/{stamp}")

    async def update(self, posted: Posted, notice: Notice) -> Posted:
        """Change a card; where Slack refuses that, reply below it. Raise as `post` does."""
        where, _, stamp = posted.reference.partition("/")
        try:
            await self._send(
                notice,
                lambda made: self._client.chat_update(channel=where, ts=stamp, **_content(made)),
            )
        except SlackRefusedError as error:
            log.warning("slack: card %s cannot be changed (%s); replying", posted.reference, error)
            await self._reply(where, stamp, notice)
        return posted

    async def run(self) -> None:
        """Serve clicks, commands and comments until cancelled; HTTP mode comes in elsewhere."""
        await self._introduce()
        if self._settings.mode == "http":
            self.ready.set()
            return
        client = new_client(self._settings, self._secrets.app_token)
        handler = AsyncSocketModeHandler(self.app, self._secrets.app_token, web_client=client)
        try:
            await handler.connect_async()  # type: ignore[no-untyped-call]
            self.ready.set()
            log.info("slack: connected by Socket Mode")
            await asyncio.Event().wait()
        finally:
            self.ready.clear()
            await handler.close_async()  # type: ignore[no-untyped-call]

    async def _introduce(self) -> None:
        """Learn who we are, however long Slack takes; nothing that comes in is believed before."""
        while self._desk.door.workspace is None:
            try:
                self._desk.door.workspace = await find_workspace(self._client)
            except (ChannelError, ChannelBusyError) as error:
                log.error("slack: not connected yet: %s", error)
                await asyncio.sleep(_AGAIN_S)

    async def _send(self, notice: Notice, call: Any) -> dict[str, Any]:
        """Send the card; if Slack finds it too long after all, one that is a third of that."""
        record = await self._desk.book.get(notice.request)
        shown = showing(notice, record, self._desk.extras)
        try:
            return await asked(call(message(shown, MESSAGE_ROOM)))
        except SlackRefusedError as error:
            if error.code not in _TOO_LONG:
                raise
            log.warning("slack: the card of %s is too long for Slack; shortened", notice.request)
            return await asked(call(message(shown, SMALL_ROOM)))

    async def _reply(self, where: str, stamp: str, notice: Notice) -> None:
        card = notice.card
        await asked(
            self._client.chat_postMessage(
                channel=where,
                thread_ts=stamp,
                text="Holdfast: the card above has changed",
                blocks=[section(f"{card.state_line}\nThe card above could not be changed.")],
            )
        )

    async def _look_for(self, where: str, notice: Notice) -> Posted | None:
        """Return the card of this notice if an earlier attempt has got through after all."""
        cursor, mark = "", _mark(notice)
        for _ in range(_PAGES):
            page = await asked(
                self._client.conversations_history(
                    channel=where, limit=_PAGE, cursor=cursor, include_all_metadata=True
                )
            )
            for one in page.get("messages", []):
                payload = one.get("metadata", {}).get("event_payload", {})
                if payload.get("card") == mark and one.get("ts"):
                    return Posted(f"{where}/{one['ts']}")
            cursor = page.get("response_metadata", {}).get("next_cursor", "")
            if not cursor:
                break
        return None


def _content(made: Message) -> dict[str, Any]:
    return {"text": made.text, "blocks": made.blocks}


def _mark(notice: Notice) -> str:
    # Other apps can read it, so it is not the nonce itself.
    return hashlib.sha256(f"card {notice.nonce}".encode()).hexdigest()[:32]

"""Tells a conversation, so that it notifies, that the glass was broken: once below each card.

A card that changes notifies nobody, and whoever was passed over must hear of it.
"""

import json
import logging

from slack_sdk.web.async_client import AsyncWebClient

from collector.channels.broken import alarm_lines
from collector.channels.interface import Notice
from collector.channels.slack.blocks import alarm, notification
from collector.channels.slack.calls import SlackRefusedError, asked
from collector.channels.slack.desk import Extras, showing

log = logging.getLogger(__name__)

_PAGES, _PAGE = 10, 200


class Alarms:
    """Replies below cards, which Slack shows in the conversation as well."""

    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client

    async def tell(self, where: str, stamp: str, notice: Notice) -> None:
        """Say it below the card at `stamp`; raise ChannelError or ChannelBusyError.

        Where the notice is unsure, the thread is looked through for an alarm that is there already.
        """
        mark = f"holdfast_broken_{notice.request}"
        if notice.unsure and await self._is_there(where, stamp, mark):
            return
        blocks = alarm(notice.request, alarm_lines(notice), notice.link, mark)
        text = notification(showing(notice, None, Extras()))
        try:
            await asked(
                self._client.chat_postMessage(
                    channel=where, thread_ts=stamp, reply_broadcast=True, text=text, blocks=blocks
                )
            )
        except SlackRefusedError as error:
            # Somebody has deleted the card, most likely.
            log.warning("slack: no reply below card %s/%s (%s)", where, stamp, error)
            await asked(self._client.chat_postMessage(channel=where, text=text, blocks=blocks))

    async def _is_there(self, where: str, stamp: str, mark: str) -> bool:
        cursor = ""
        for _ in range(_PAGES):
            try:
                page = await asked(
                    self._client.conversations_replies(
                        channel=where, ts=stamp, limit=_PAGE, cursor=cursor
                    )
                )
            except SlackRefusedError:
                return False
            if any(mark in json.dumps(one.get("blocks", [])) for one in page.get("messages", [])):
                return True
            cursor = page.get("response_metadata", {}).get("next_cursor", "")
            if not cursor:
                return False
        return False

"""Keeps what people write below a card as comments on its request."""

import html
import logging
from collections import OrderedDict
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from collector.channels.slack.desk import Desk
from collector.channels.slack.door import CHANNEL, Sender
from collector.channels.slack.tell import Teller
from collector.channels.slack.words import refusal_words
from collector.errors import Refusal, StateError

log = logging.getLogger(__name__)

_REMEMBERED = 5000
_NOT_KEPT = "Holdfast keeps comments of linked people only; this one is not kept."
# A reply that is shown in the channel as well is a reply; edits and joins are not.
_REPLIES = ("", "thread_broadcast")


class Comments:
    """Takes message events; everything that is no reply of a person to a card is passed over."""

    def __init__(self, desk: Desk, client: AsyncWebClient) -> None:
        self._desk = desk
        self._teller = Teller(client)
        self._heard: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._hinted: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def message(self, event: dict[str, Any], body: dict[str, Any]) -> None:
        """Keep a reply. Slack may send an event again, which is no second comment."""
        channel, stamp = str(event.get("channel", "")), str(event.get("ts", ""))
        thread, user = str(event.get("thread_ts") or ""), str(event.get("user") or "")
        text = html.unescape(str(event.get("text") or ""))
        if not thread or not user or not text.strip() or event.get("bot_id"):
            return
        if str(event.get("subtype") or "") not in _REPLIES:
            return
        try:
            card = await self._desk.cards.showing(CHANNEL, f"{channel}/{thread}")
        except StateError as error:
            log.error("slack: a comment is lost: %s", error)
            return
        if card is None or _seen(self._heard, (channel, stamp)):
            return
        record = await self._desk.book.get(card.request)
        if record is None:
            return
        try:
            caller = await self._desk.door.admit(Sender.of(body))
        except Refusal as refusal:
            if not _seen(self._hinted, (user, f"{channel}/{thread}")):
                words = f"{_NOT_KEPT} {refusal_words(refusal, self._desk.base_url)}"
                await self._teller.whisper(channel, user, words, thread)
            return
        try:
            await self._desk.decider.comment(caller, record, text=text, via=CHANNEL)
        except Refusal as refusal:
            # Slack may send it again, and then it may be kept.
            self._heard.pop((channel, stamp), None)
            words = f"This comment is not kept. {refusal_words(refusal, self._desk.base_url)}"
            await self._teller.whisper(channel, user, words, thread)


def _seen(known: OrderedDict[tuple[str, str], None], key: tuple[str, str]) -> bool:
    """Say whether a key has been here before; the newest are remembered."""
    found = key in known
    known[key] = None
    known.move_to_end(key)
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
    return found

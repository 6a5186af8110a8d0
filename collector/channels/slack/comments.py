"""Keeps what people write below a card as comments on its request."""

import html
import logging
from collections import OrderedDict
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from collector.approvals.capped import named_by
from collector.approvals.record import Record
from collector.channels.slack.desk import Desk
from collector.channels.slack.door import CHANNEL, Sender
from collector.channels.slack.tell import Teller
from collector.channels.slack.words import TROUBLES, refusal_words, trouble_words
from collector.errors import Refusal, StateError, TrailError
from wire.ids import RequestId

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
            # Nobody is told: what is not known to be below a card may be none of our business.
            log.error("slack: a comment is lost: %s", error)
            return
        if card is None or _seen(self._heard, (channel, stamp)):
            return
        try:
            caller = await self._desk.door.admit(Sender.of(body))
        except Refusal as refusal:
            if not _seen(self._hinted, (user, f"{channel}/{thread}")):
                words = f"{_NOT_KEPT} {refusal_words(refusal, self._desk.base_url)}"
                await self._teller.whisper(channel, user, words, thread)
            return
        except StateError as error:
            await self._lost(channel, stamp, user, thread, error)
            return
        try:
            record = await self._request_of(card.request)
            await self._desk.decider.comment(caller, record, text=text, via=CHANNEL)
        except TROUBLES as trouble:
            await self._lost(channel, stamp, user, thread, trouble)

    async def _request_of(self, request: RequestId) -> Record:
        """Return the request of a card; raise Refusal where a comment has none to belong to."""
        record = await self._desk.book.get(request)
        if record is not None:
            return record
        if named_by(request) is not None:
            raise Refusal(
                404,
                "no_comment",
                "this card is the summary of a session, and a comment belongs to a request",
                "write it below the card of one of its requests, or on its page",
            )
        raise Refusal(
            404, "unknown_request", "the collector does not know this request any more", ""
        )

    async def _lost(
        self,
        channel: str,
        stamp: str,
        user: str,
        thread: str,
        trouble: Refusal | StateError | TrailError,
    ) -> None:
        """Tell who wrote it; Slack may send it again, and then it may be kept."""
        self._heard.pop((channel, stamp), None)
        words = f"This comment is not kept. {trouble_words(trouble, self._desk.base_url)}"
        await self._teller.whisper(channel, user, words, thread)


def _seen(known: OrderedDict[tuple[str, str], None], key: tuple[str, str]) -> bool:
    """Say whether a key has been here before; the newest are remembered."""
    found = key in known
    known[key] = None
    known.move_to_end(key)
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
    return found

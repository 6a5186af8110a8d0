"""Cards that Slack may have posted twice: looked for before another is posted, and marked after.

Slack may finish a post that we have given up only after we have looked and posted another one.
Both decide the same request; the one that we do not know would hang there with an old state.
"""

import json
import logging
from collections import OrderedDict
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from collector.channels.interface import Notice, Posted
from collector.channels.slack.blocks import Carried, value
from collector.channels.slack.calls import asked
from collector.channels.slack.door import CHANNEL
from collector.channels.slack.elements import section
from collector.channels.store import Cards
from collector.errors import ChannelBusyError, ChannelError, StateError

log = logging.getLogger(__name__)

# How far back a card is looked for.
_PAGES, _PAGE = 5, 200
_REMEMBERED = 1000
_WORDS = "This card was posted twice. The request goes on at the other one."


class Twins:
    """Looks for cards by what their buttons carry, which no other message has."""

    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client
        self._expected: OrderedDict[str, None] = OrderedDict()

    def expect(self, notice: Notice) -> None:
        """Look for another card of this notice whenever the one that is posted now changes."""
        self._expected[notice.nonce] = None
        if len(self._expected) > _REMEMBERED:
            self._expected.popitem(last=False)

    async def find(self, where: str, notice: Notice, *, but: str = "") -> Posted | None:
        """Return a card of this notice in a conversation, if there is one that is not `but`."""
        cursor, carried = "", value(notice.request, notice.nonce)
        for _ in range(_PAGES):
            page = await asked(
                self._client.conversations_history(channel=where, limit=_PAGE, cursor=cursor)
            )
            for one in page.get("messages", []):
                stamp = one.get("ts")
                if stamp and stamp != but and carried in json.dumps(one.get("blocks", [])):
                    return Posted(f"{where}/{stamp}")
            cursor = page.get("response_metadata", {}).get("next_cursor", "")
            if not cursor:
                break
        return None

    async def settle(self, posted: Posted, notice: Notice) -> None:
        """Mark the other card of this notice, where one may be; a failure costs nothing else."""
        if notice.nonce not in self._expected:
            return
        where, _, stamp = posted.reference.partition("/")
        try:
            twin = await self.find(where, notice, but=stamp)
        except (ChannelError, ChannelBusyError) as error:
            log.info("slack: no look for a second card: %s", error)
            return
        if twin is not None and await self._mark(twin):
            del self._expected[notice.nonce]

    async def clicked(self, body: dict[str, Any], carried: str, cards: Cards) -> None:
        """Mark the card on which somebody has clicked, if the record has another one for it."""
        place = str((body.get("channel") or {}).get("id", ""))
        stamp = str((body.get("container") or {}).get("message_ts") or "")
        try:
            known = await cards.of_nonce(Carried.parse(carried).nonce, CHANNEL)
        except StateError as error:
            log.error("slack: %s", error)
            return
        here = Posted(f"{place}/{stamp}")
        if place and stamp and known is not None and known.posted not in (None, here):
            await self._mark(here)

    async def _mark(self, twin: Posted) -> bool:
        where, _, stamp = twin.reference.partition("/")
        try:
            await asked(
                self._client.chat_update(
                    channel=where, ts=stamp, text="Holdfast: " + _WORDS, blocks=[section(_WORDS)]
                )
            )
        except (ChannelError, ChannelBusyError) as error:
            log.info("slack: card %s is there twice and stays as it is: %s", twin.reference, error)
            return False
        log.warning("slack: card %s was there twice, and now says so", twin.reference)
        return True

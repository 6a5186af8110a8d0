"""Slack as a channel: posts cards and changes them.

A card is found again by "conversation/timestamp". Retries are the dispatcher's.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from collector.approvals.record import Record
from collector.channels.interface import Notice, Posted
from collector.channels.slack.alarms import Alarms
from collector.channels.slack.blocks import MESSAGE_ROOM, SMALL_ROOM, Message, message
from collector.channels.slack.calls import SlackRefusedError, asked
from collector.channels.slack.desk import Extras, showing
from collector.channels.slack.door import CHANNEL
from collector.channels.slack.elements import section
from collector.channels.slack.incoming import Incoming
from collector.channels.slack.places import Places
from collector.channels.slack.twins import Twins
from collector.errors import ChannelError
from wire.ids import RequestId

log = logging.getLogger(__name__)

_TOO_LONG = frozenset({"msg_blocks_too_long", "msg_too_long", "invalid_blocks"})

Find = Callable[[RequestId], Awaitable[Record | None]]


class SlackChannel:
    """The channel of one workspace. Without `incoming` it shows and takes no answers."""

    name = CHANNEL

    def __init__(
        self,
        client: AsyncWebClient,
        find: Find,
        places: Places,
        extras: Extras,
        incoming: Incoming | None = None,
    ) -> None:
        """`find` gives a request as it is known now."""
        self._client = client
        self._find = find
        self._extras = extras
        self._places = places
        self._twins = Twins(client)
        self._alarms = Alarms(client)
        self.incoming = incoming

    async def post(self, notice: Notice) -> Posted:
        """Show a new card; raise ChannelError or ChannelBusyError."""
        record = await self._find(notice.request)
        owner = record.opened.owner if record else notice.session.owner if notice.session else ""
        where = await self._places.find(notice.to, owner)
        if notice.unsure:
            if (found := await self._twins.find(where, notice)) is not None:
                return await self.update(found, notice)
            # Slack may be at it still.
            self._twins.expect(notice)
        answer = await self._send(
            notice,
            lambda made: self._client.chat_postMessage(
                channel=where,
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
        """Change a card; where Slack refuses that, reply below it. Raise as `post` does.

        Nobody hears of a card that changes, so an alarm is a reply of its own.
        """
        where, _, stamp = posted.reference.partition("/")
        try:
            await self._send(
                notice,
                lambda made: self._client.chat_update(channel=where, ts=stamp, **_content(made)),
            )
        except SlackRefusedError as error:
            log.warning("slack: card %s cannot be changed (%s); replying", posted.reference, error)
            if not notice.alarm:  # which says the same
                await self._reply(where, stamp, notice)
        if notice.alarm:
            await self._alarms.tell(where, stamp, notice)
        await self._twins.settle(posted, notice)
        return posted

    async def run(self) -> None:
        """Serve what comes in until cancelled; return if nothing does."""
        if self.incoming is not None:
            await self.incoming.run()

    async def _send(self, notice: Notice, call: Any) -> dict[str, Any]:
        """Send the card; if Slack finds it too long after all, one that is a third of that."""
        record = await self._find(notice.request)
        shown = showing(notice, record, self._extras)
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


def _content(made: Message) -> dict[str, Any]:
    return {"text": made.text, "blocks": made.blocks}

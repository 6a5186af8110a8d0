"""Clicks on cards and in windows. Each is acknowledged first, since Slack waits for three seconds
and a window can be opened for as long; all checks and all work come after that.
"""

import asyncio
import logging
from typing import Any

from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.respond.async_respond import AsyncRespond
from slack_sdk.web.async_client import AsyncWebClient

from collector.approvals.capped import named_by
from collector.approvals.checks import check_decides
from collector.approvals.record import Record
from collector.capped_card import state_words
from collector.channels.slack import modal
from collector.channels.slack.blocks import APPROVE_FOR, DENY, Carried
from collector.channels.slack.calls import asked
from collector.channels.slack.desk import Desk
from collector.channels.slack.door import Sender
from collector.channels.slack.modal import Subject, View
from collector.channels.slack.tell import Teller
from collector.channels.slack.twins import Twins
from collector.channels.slack.words import (
    TROUBLES,
    clock,
    decided_words,
    name,
    trouble_words,
)
from collector.errors import ChannelBusyError, ChannelError, Refusal
from collector.reasons import FOR_APPROVAL, FOR_DENIAL
from collector.sanitize import clean
from collector.web.settings import request_url
from wire.messages import Answer

log = logging.getLogger(__name__)

_WAIT = "One moment: Holdfast checks who you are."
_DECIDING = "One moment: your answer is being stored."
_REMARK_LIMIT = 1000


class Clicks:
    """What the buttons do. No method raises: whoever clicks is told in words."""

    def __init__(self, desk: Desk, client: AsyncWebClient) -> None:
        self._desk = desk
        self._client = client
        self._teller = Teller(client)
        self._twins = Twins(client)

    async def answer(self, ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        """Approve or Deny on a card: one click decides where no reason is needed."""
        await ack()
        action = body["actions"][0]
        subject = Subject(
            Answer.DENY if action["action_id"] == DENY else Answer.APPROVE,
            str(action.get("value", "")),
            action["action_id"] == APPROVE_FOR,
        )
        await self._answer(body, respond, subject)
        # Afterwards: a process waits for the answer, and for nothing else.
        await self._twins.clicked(body, subject.carried, self._desk.cards)

    async def _answer(self, body: dict[str, Any], respond: AsyncRespond, subject: Subject) -> None:
        sender = Sender.of(body)
        try:
            self._desk.door.check_origin(sender)
            record = await self._desk.of_button(subject.carried)
            if subject.for_a_time or self._desk.reason_needed(record):
                await self._ask_reason(body, sender, record, subject)
                return
            words = await self._decide(sender, record, subject, reason="", life=None)
        except TROUBLES as trouble:
            words = trouble_words(trouble, self._desk.base_url)
        except (ChannelError, ChannelBusyError) as error:
            words = f"Slack opened no window: {error}. Click again, or use the page on the card."
        await self._teller.tell(body, respond, words)

    async def deny_all(self, ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        """Deny all of a session: a window asks why, and nothing is denied before."""
        await ack()
        sender = Sender.of(body)
        subject = Subject(Answer.DENY, str(body["actions"][0].get("value", "")), False)
        try:
            self._desk.door.check_origin(sender)
            capped = await self._desk.session_of_button(subject.carried)
            view = modal.ask_reason(subject, f"Deny all: {state_words(capped)}", FOR_DENIAL)
            view_id = await self._open(body, view)
        except TROUBLES as trouble:
            await self._teller.tell(body, respond, trouble_words(trouble, self._desk.base_url))
            return
        except (ChannelError, ChannelBusyError) as error:
            words = f"Slack opened no window: {error}. Click again, or use the page on the card."
            await self._teller.tell(body, respond, words)
            return
        try:
            check_decides(await self._desk.door.admit(sender))
        except TROUBLES as trouble:
            await self._update(view_id, trouble_words(trouble, self._desk.base_url))

    async def because(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """A reason of the short list in a window: one click decides."""
        await ack()
        view = body["view"]
        try:
            subject = Subject.parse(view["private_metadata"])
            reason = _reasons(subject)[int(body["actions"][0]["value"])]
        except (ValueError, IndexError, KeyError):
            await self._update(view["id"], "This window is too old. Click on the card again.")
            return
        # Side by side: a process waits for the decision, which needs no window to be redrawn first.
        outcome, _ = await asyncio.gather(
            self._conclude(body, subject, reason), self._update(view["id"], _DECIDING)
        )
        await self._update(view["id"], *outcome)

    async def written(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """A typed reason."""
        view = body["view"]
        reason = modal.written_reason(view)
        if not reason:
            await ack(response_action="errors", errors={modal.TEXT_BLOCK: "Say why."})
            return
        await ack(response_action="update", view=modal.told(_DECIDING))
        try:
            subject = Subject.parse(view["private_metadata"])
        except ValueError:
            await self._update(view["id"], "This window is too old. Click on the card again.")
            return
        await self._update(view["id"], *await self._conclude(body, subject, reason))

    async def details(self, ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        """Everything that fits into a window, for whoever is linked."""
        await ack()
        sender = Sender.of(body)
        try:
            self._desk.door.check_origin(sender)
            view_id = await self._open(body, modal.told(_WAIT))
        except TROUBLES as trouble:
            await self._teller.tell(body, respond, trouble_words(trouble, self._desk.base_url))
            return
        except (ChannelError, ChannelBusyError) as error:
            await self._teller.tell(body, respond, f"Slack opened no window: {error}")
            return
        try:
            record = await self._desk.of_button(str(body["actions"][0].get("value", "")))
            await self._desk.door.admit(sender)
            shown = self._desk.showing(record)
        except TROUBLES as trouble:
            await self._update(view_id, trouble_words(trouble, self._desk.base_url))
            return
        remarks = [
            f"{name(one.by)} at {clock(one.time_ns)}: {clean(one.text, _REMARK_LIMIT).text}"
            for one in record.comments
        ]
        await self._show(view_id, modal.details(shown, remarks))

    async def opened_page(self, ack: AsyncAck) -> None:
        """A button that is only a link is reported as a click all the same."""
        await ack()

    async def _ask_reason(
        self, body: dict[str, Any], sender: Sender, record: Record, subject: Subject
    ) -> None:
        """Open the window first, then say in it if this person may not answer anyway."""
        title = self._desk.showing(record).card.title
        lives = self._desk.extras.lives(record) if subject.for_a_time else ()
        if subject.for_a_time and not lives:
            raise Refusal(403, "no_grant", "this cannot be approved for a time", "approve it once")
        view = modal.ask_reason(subject, title, _reasons(subject), lives)
        view_id = await self._open(body, view)
        try:
            await self._desk.check(sender, record)
        except TROUBLES as trouble:
            await self._update(
                view_id, trouble_words(trouble, self._desk.base_url), self._desk.link(record)
            )

    async def _conclude(
        self, body: dict[str, Any], subject: Subject, reason: str
    ) -> tuple[str, str]:
        """Decide with what a window has said; return what it should say of that, and a link."""
        if named_by(subject.carried) is not None:
            return await self._conclude_session(body, subject, reason)
        view, link = body["view"], ""
        life = modal.chosen_life(view) if subject.for_a_time else None
        try:
            record = await self._desk.of_button(subject.carried)
            link = self._desk.link(record)
            words = await self._decide(Sender.of(body), record, subject, reason=reason, life=life)
        except TROUBLES as trouble:
            words = trouble_words(trouble, self._desk.base_url)
        return words, link

    async def _conclude_session(
        self, body: dict[str, Any], subject: Subject, reason: str
    ) -> tuple[str, str]:
        link = ""
        try:
            if subject.answer is not Answer.DENY:
                raise Refusal(403, "no_approval", "a session is not approved as a whole", "")
            capped = await self._desk.session_of_button(subject.carried)
            link = request_url(self._desk.base_url, capped.id)
            caller = await self._desk.door.admit(Sender.of(body))
            card = Carried.parse(subject.carried).card
            words = await self._desk.deny_session(caller, capped, reason, card)
        except TROUBLES as trouble:
            words = trouble_words(trouble, self._desk.base_url)
        return words, link

    async def _decide(
        self, sender: Sender, record: Record, subject: Subject, *, reason: str, life: int | None
    ) -> str:
        """Return what to say; raise Refusal only if nobody is known to have asked."""
        caller = await self._desk.door.admit(sender)
        try:
            card = Carried.parse(subject.carried).card
            decided = await self._desk.decide(
                caller, record, subject.answer, reason, life, card=card
            )
        except TROUBLES as trouble:
            return trouble_words(trouble, self._desk.base_url, caller.name)
        return decided_words(decided, subject.answer)

    async def _open(self, body: dict[str, Any], view: View) -> str:
        trigger = str(body.get("trigger_id", ""))
        opened = await asked(self._client.views_open(trigger_id=trigger, view=view))
        return str(opened.get("view", {}).get("id", ""))

    async def _update(self, view_id: str, words: str, link: str = "") -> None:
        await self._show(view_id, modal.told(words, link))

    async def _show(self, view_id: str, view: View) -> None:
        try:
            await asked(self._client.views_update(view_id=view_id, view=view))
        except (ChannelError, ChannelBusyError) as error:
            # Closed by its reader, most likely; the card says what came of it.
            log.info("slack: a window cannot be changed: %s", error)


def _reasons(subject: Subject) -> tuple[str, ...]:
    return FOR_APPROVAL if subject.answer is Answer.APPROVE else FOR_DENIAL

"""What the agent says of itself and of held acts, as rows of the event table."""

import logging

from agent.clock import Clock
from agent.rows import act_row, notice_row
from agent.transport.sender import EventSender
from wire.acts import Act
from wire.ids import HoldId
from wire.redaction.redactor import Redactor

log = logging.getLogger("holdfast.agent")


class EventReport:
    """Writes held acts and notices into the events, and notices into the log as well; redacted."""

    def __init__(self, sender: EventSender, clock: Clock, redactor: Redactor) -> None:
        self._sender = sender
        self._clock = clock
        self._redactor = redactor

    def held(
        self,
        act: Act,
        *,
        action: str | None,
        rule: str | None,
        hold: HoldId | None,
        detail: str,
        count: int = 1,
    ) -> None:
        """Record one act that was held, or `count` alike of which it is the last."""
        shown, words = self._redactor.act(act), self._redactor.words(detail)
        self._sender.add_row(
            act_row(shown, action=action, rule=rule, hold=hold, detail=words, count=count)
        )

    def notice(self, name: str, words: str) -> None:
        """Record something that the host itself has to say."""
        words = self._redactor.words(words)
        log.warning("%s: %s", name, words)
        self._sender.add_row(notice_row(self._clock.now_ns(), name, words))

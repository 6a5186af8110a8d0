"""What an intake makes of a run of messages: rows to write, effects for afterwards, refusals."""

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nats.aio.msg import Msg

from collector.approvals.record import Record
from collector.trail.event_rows import EventRows
from collector.trail.rows import Row, rejected_row
from wire.errors import WireError
from wire.ids import check_id
from wire.messages import Vote

log = logging.getLogger(__name__)

_LONGEST_REASON = 500


class RefusedError(WireError):
    """A message that is well formed and must not be believed."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it came out of a stream."""

    stream: str
    sequence: int
    subject: str
    data: bytes
    headers: dict[str, str]

    @classmethod
    def of(cls, message: Msg) -> "Delivery":
        """Return the facts of a JetStream message."""
        metadata = message.metadata
        return cls(
            stream=metadata.stream,
            sequence=metadata.sequence.stream,
            subject=message.subject,
            data=message.data,
            headers=dict(message.headers or {}),
        )

    def expect(self, subject: str, *ids: str) -> None:
        """Raise RefusedError unless it came in under the subject that its contents name."""
        if self.subject != subject:
            raise RefusedError(f"the message says {subject}, but came in as {self.subject}")
        for one in ids:
            check_id(one, place=self.subject)


@dataclass(slots=True)
class Work:
    """Grows while messages are taken in. `refused` holds positions in the run."""

    rows: list[Row] = field(default_factory=list)
    batches: list[EventRows] = field(default_factory=list)
    changed: list[Record] = field(default_factory=list)
    decided: list[Record] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    voted: list[Vote] = field(default_factory=list)
    refused: set[int] = field(default_factory=set)

    def refuse(self, position: int, delivery: Delivery, reason: str) -> None:
        """Keep a message that is not believed where an auditor finds it."""
        log.warning(
            "%s message %d (%s) rejected: %s",
            delivery.stream,
            delivery.sequence,
            delivery.subject,
            ascii(reason)[1:-1][:_LONGEST_REASON],
        )
        self.refused.add(position)
        tokens = delivery.subject.split(".")
        by_host = tokens[0] == "$KV" or tokens[1:2] in (["hold"], ["event"])
        self.rows.append(
            rejected_row(
                {
                    "stream": delivery.stream,
                    "stream_sequence": delivery.sequence,
                    "subject": delivery.subject,
                    "host": tokens[2] if by_host and len(tokens) > 2 else None,
                    "reason": reason[:_LONGEST_REASON],
                    "digest": hashlib.sha256(delivery.data).hexdigest(),
                    "bytes": len(delivery.data),
                    "received_ns": time.time_ns(),
                }
            )
        )


class Intake(Protocol):
    """Reads one stream. `take` may change the register; `done` runs after the commit."""

    @property
    def stream(self) -> str:
        """Name of the stream."""

    async def take(self, deliveries: Sequence[Delivery]) -> Work:
        """Return what is to be written; never raise for what a message contains."""

    async def done(self, work: Work) -> None:
        """Act on what is in the trail now; raise CentreError to be asked again."""

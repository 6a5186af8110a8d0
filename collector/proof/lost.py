"""Checkpoints that went with the disk: the stream has them, each following from the one before.

What does not follow is left where it is: the next checkpoint then meets it there, and says so.
"""

import logging
from typing import Protocol

from collector.errors import ProofError
from collector.nats.publish import Stored
from collector.proof.checkpoint import digest_of, read
from wire import subjects
from wire.chain import NOTHING_BEFORE

log = logging.getLogger(__name__)


class Stream(Protocol):
    """What has them."""

    async def stored(self, stream: str, subject: str) -> Stored | None:
        """Return the message of a subject, None if there is none."""


async def lost_checkpoints(stream: Stream, trail: str, newest: str) -> list[str]:
    """Return the lines after the newest that is here ("" for none); raise CollectorError."""
    found: list[str] = []
    number = read(newest)[0].number if newest else 0
    previous = digest_of(newest) if newest else NOTHING_BEFORE
    while True:
        number += 1
        subject = subjects.checkpoint(trail, number)
        stored = await stream.stored(subjects.CHECKPOINTS, subject)
        if stored is None:
            return found
        try:
            line = stored.data.decode()
            made = read(line)[0]
        except (ProofError, UnicodeDecodeError) as error:
            log.error("%s in %s: %s", subject, subjects.CHECKPOINTS, error)
            return found
        if (made.trail, made.number, made.previous) != (trail, number, previous):
            log.error("%s in %s does not follow from the one before", subject, subjects.CHECKPOINTS)
            return found
        found.append(line)
        previous = digest_of(line)

"""What people are told in Slack after a click or a command: short, and in words."""

import logging
from datetime import UTC, datetime

from collector.approvals.record import Record, RequestState
from collector.errors import Refusal, StateError, TrailError
from collector.orders.words import for_a_time
from collector.sanitize import clean
from wire.messages import Answer, Ground, Vote

log = logging.getLogger(__name__)

# What may go wrong between somebody's click or words and an answer to it.
TROUBLES = (Refusal, StateError, TrailError)
# It may have happened after their answer was stored.
UNREADABLE = (
    "The collector cannot use its files; its log says why. Look at the page of the request before "
    "you answer again."
)

_SAID = {"approve": "approved", "deny": "denied"}
_BROKEN = "let go by break-glass"
_NAME_LIMIT = 80
_REASON_LIMIT = 400


def trouble_words(trouble: Refusal | StateError | TrailError, base: str, me: str = "") -> str:
    """Return what a person is told who cannot be answered; arguments as for `refusal_words`."""
    if isinstance(trouble, Refusal):
        return refusal_words(trouble, base, me)
    log.error("slack: somebody could not be answered: %s", trouble)
    return UNREADABLE


def refusal_words(refusal: Refusal, base: str, me: str = "") -> str:
    """Return what a refusal says to a person.

    `base` is the address of the pages, where some have to sign in again; `me` is their own name.
    """
    if refusal.code == "already_decided":
        return _already(refusal, me)
    words = f"{_sentence(refusal.message)} {_sentence(refusal.remedy)}".strip()
    path = refusal.extra.get("sign_in")
    return f"{words} {base}{path}" if isinstance(path, str) and path.startswith("/") else words


def decided_words(record: Record, answer: Answer) -> str:
    """Return what came of an answer that was taken."""
    if record.state is RequestState.OPEN:
        return f"Your vote to {answer.value} is counted. More votes are needed."
    return (
        f"You have {_SAID[answer.value]} it. The card changes again when the host confirms what it "
        "did."
    )


def vote_line(vote: Vote) -> str:
    """Return one line about what one person said."""
    said = f"{_SAID[vote.answer.value]}{for_a_time(vote)}"
    if vote.ground is Ground.BREAK_GLASS:
        said = _BROKEN
    line = f"{said} by {name(vote.by)} at {clock(vote.time_ns)}"
    return f"{line}: {clean(vote.reason, _REASON_LIMIT).text}" if vote.reason else line


def name(text: str) -> str:
    """Return somebody's name as it may be shown."""
    return clean(text, _NAME_LIMIT).text


def clock(time_ns: object) -> str:
    """Return hour, minute and second (UTC) of nanoseconds since the epoch."""
    try:
        seconds = int(str(time_ns)) // 1_000_000_000
        return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "an unknown time"


def moment(time_ns: int) -> str:
    """Return date, hour and minute (UTC) of nanoseconds since the epoch."""
    try:
        when = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    except (ValueError, OverflowError, OSError):
        return "an unknown time"
    return when.strftime("%Y-%m-%d %H:%M UTC")


def _already(refusal: Refusal, me: str) -> str:
    by = str(refusal.extra.get("decided_by", ""))
    who = "you" if by and by == me else name(by) or "somebody"
    said = _SAID.get(str(refusal.extra.get("answer")), "answered")
    if refusal.extra.get("ground") == Ground.BREAK_GLASS.value:
        said = _BROKEN
    words = f"Already {said} by {who} at {clock(refusal.extra.get('decided_ns'))}"
    reason = str(refusal.extra.get("reason") or "")
    return f"{words}: {clean(reason, _REASON_LIMIT).text}" if reason else f"{words}."


def _sentence(text: str) -> str:
    shown = clean(text, 1500).text.strip()
    if not shown:
        return ""
    return shown[0].upper() + shown[1:] + ("" if shown[-1] in ".!?" else ".")

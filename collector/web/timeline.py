"""What happened to a request, in order: the host's words, votes, the decision, comments."""

from collections.abc import Iterator
from dataclasses import dataclass

from collector.approvals.record import Record
from collector.orders.words import for_a_time
from collector.sanitize import visible
from collector.web.words import iso
from collector.words import clock
from wire.messages import Answer, HoldState, HoldStateName

_VOTED = {Answer.APPROVE: "voted to approve", Answer.DENY: "voted to deny"}
_DECIDED = {Answer.APPROVE: "Decided: approved", Answer.DENY: "Decided: denied"}
_HOST = {
    HoldStateName.HELD: "The process is held",
    HoldStateName.APPROVED: "The host has the approval",
    HoldStateName.DENIED: "The host has the denial",
    HoldStateName.EXPIRED: "The deadline passed; nobody had answered",
    HoldStateName.CANCELLED: "The process ended before an answer took effect",
    HoldStateName.SUPERSEDED: "Another request took its place",
    HoldStateName.RELEASED: "The process runs on",
    HoldStateName.KILLED: "The process was killed",
    HoldStateName.REFUSED: "The act was refused",
}
_FROM_HOST = "host"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the history; `kind` picks its shape, `text` quotes who said it."""

    time_ns: int
    kind: str
    words: str
    who: str = ""
    text: str = ""

    @property
    def when(self) -> str:
        """The time in UTC, for people."""
        return clock(self.time_ns)

    @property
    def iso(self) -> str:
        """The same time for programs."""
        return iso(self.time_ns)


def timeline(record: Record) -> tuple[Entry, ...]:
    """Return the history, oldest first; what was written by others is safe to show."""
    return tuple(sorted(_entries(record), key=lambda entry: entry.time_ns))


def _entries(record: Record) -> Iterator[Entry]:
    opened = record.opened
    yield Entry(opened.opened_ns, "open", "The host stopped the process and asked", _FROM_HOST)
    for vote in record.votes:
        by = f"{visible(vote.by)} by {visible(vote.via)}"
        voted = f"{_VOTED[vote.answer]}{for_a_time(vote)}"
        yield Entry(vote.time_ns, "vote", voted, by, visible(vote.reason))
    for comment in record.comments:
        by = f"{visible(comment.by)} by {visible(comment.via)}"
        yield Entry(comment.time_ns, "comment", "commented", by, visible(comment.text))
    if (decision := record.decision) is not None:
        ground = decision.ground.value.replace("_", " ")
        yield Entry(
            decision.time_ns,
            "approved" if decision.answer is Answer.APPROVE else "denied",
            f"{_DECIDED[decision.answer]} ({ground})",
            visible(decision.by),
        )
    latest = opened.opened_ns
    for state in record.states:
        # The host's own order stays, also where its clock was set back in between.
        latest = max(latest, state.time_ns)
        if state.capped is None:  # that is of the session, which has a page of its own
            yield _host(state, latest)


def _host(state: HoldState, time_ns: int) -> Entry:
    words = _HOST[state.state]
    if state.ground is not None:
        words += f" (ground: {state.ground.value.replace('_', ' ')})"
    return Entry(time_ns, state.state.value, words, _FROM_HOST, visible(state.detail))

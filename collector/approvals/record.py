"""One request as the centre knows it: what the host opened and did, and what people said. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from wire.acts import Kind
from wire.ids import HoldId, RequestId, request_of
from wire.messages import (
    Answer,
    Comment,
    Decision,
    Ground,
    HoldOpened,
    HoldState,
    HoldStateName,
    Vote,
)


class RequestState(StrEnum):
    """How a request stands. Everything but open is an end, and no two ends are the same."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


class Outcome(StrEnum):
    """What the host confirms it did to the process."""

    RELEASED = "released"
    KILLED = "killed"
    REFUSED = "refused"


_ENDS = {
    HoldStateName.APPROVED: RequestState.APPROVED,
    HoldStateName.DENIED: RequestState.DENIED,
    HoldStateName.EXPIRED: RequestState.EXPIRED,
    HoldStateName.CANCELLED: RequestState.CANCELLED,
    HoldStateName.SUPERSEDED: RequestState.SUPERSEDED,
}
_OUTCOMES = {
    HoldStateName.RELEASED: Outcome.RELEASED,
    HoldStateName.KILLED: Outcome.KILLED,
    HoldStateName.REFUSED: Outcome.REFUSED,
}
_LAST_WORDS = {*_OUTCOMES, HoldStateName.CANCELLED, HoldStateName.SUPERSEDED}
_DECIDED = {Answer.APPROVE: RequestState.APPROVED, Answer.DENY: RequestState.DENIED}


# By which way a remark of the centre's own comes; people have channels.
CENTRE_VIA = "centre"


@dataclass(frozen=True, slots=True)
class Record:
    """A request. `states` is in the order of the host's own sequence.

    `heard_ns` is when this collector heard of it, by its own clock; 0 where that is not known.

    Where identical holds are folded, `first` is the hold that gave the request its id, `others` are
    the other holds, and all else is of the one that stands for the request; see `together`.
    """

    opened: HoldOpened
    states: tuple[HoldState, ...] = ()
    votes: tuple[Vote, ...] = field(default=(), repr=False)
    comments: tuple[Comment, ...] = field(default=(), repr=False)
    decision: Decision | None = None
    heard_ns: int = field(default=0, repr=False, compare=False)
    first: RequestId | None = None
    others: tuple["Record", ...] = ()
    past: int = field(default=0, repr=False)  # what was said of holds that have left the request

    @property
    def id(self) -> RequestId:
        """The request."""
        return self.first or request_of(self.opened.hold)

    @property
    def alone(self) -> "Record":
        """The one hold that stands for the request, by itself; remarks are left out if folded."""
        if self.first is None:
            return self
        return replace(self, first=None, others=(), past=0, comments=())

    @property
    def holds(self) -> tuple["Record", ...]:
        """Every hold by itself, the one that stands for the request first."""
        return (self.alone, *self.others)

    @property
    def waiting(self) -> tuple["Record", ...]:
        """Every hold by itself that an answer would be about."""
        return tuple(one for one in self.holds if one.state is RequestState.OPEN)

    @property
    def hold(self) -> HoldId:
        """The hold."""
        return self.opened.hold

    @property
    def is_ask(self) -> bool:
        """Whether no process waits, and the centre's decision is the end of it."""
        return self.opened.act.kind is Kind.ASK

    @property
    def length(self) -> int:
        """How much was said of it: of two records of one request, the longer is the newer."""
        said = len(self.states) + len(self.votes) + len(self.comments)
        others = sum(1 + one.length for one in self.others)
        return said + (self.decision is not None) + others + self.past

    @property
    def notes(self) -> tuple[str, ...]:
        """What the centre itself has remarked; unlike what people remark, every card shows it."""
        return tuple(one.text for one in self.comments if one.via == CENTRE_VIA)

    @property
    def ended_by_host(self) -> RequestState | None:
        """How the wait ended, in the host's own words; None while it has said nothing of it."""
        return next((_ENDS[state.state] for state in self.states if state.state in _ENDS), None)

    @property
    def state(self) -> RequestState:
        """The host's word first: a decision that came too late did not end the wait."""
        if (end := self.ended_by_host) is not None:
            return end
        if self.opened.grant is not None:
            return RequestState.APPROVED  # by the host itself, which says so next
        if self.decision is None:
            return RequestState.OPEN
        if self.decision.ground is Ground.TIMEOUT_POLICY:
            return RequestState.EXPIRED
        if self.decision.ground is Ground.WITHDRAWN:
            return RequestState.CANCELLED
        return _DECIDED[self.decision.answer]

    @property
    def confirmed(self) -> HoldState | None:
        """The host's word on what it did to the process. The first counts: a host repeats its
        state when it records an answer that came too late."""
        return next((state for state in self.states if state.state in _OUTCOMES), None)

    @property
    def outcome(self) -> Outcome | None:
        """What the host confirmed; None until it has confirmed anything."""
        return None if self.confirmed is None else _OUTCOMES[self.confirmed.state]

    @property
    def ground(self) -> Ground | None:
        """Why the process was let go or killed, once the host has said so."""
        return None if self.confirmed is None else self.confirmed.ground

    @property
    def finished(self) -> bool:
        """Whether the host has nothing more to say: the process was dealt with or is gone.

        An ask has no host, and is finished once it is decided.
        """
        if self.is_ask:
            return self.decision is not None
        alone = any(state.state in _LAST_WORDS for state in self.states)
        return alone and all(one.finished for one in self.others)

    @property
    def wants_verdict(self) -> bool:
        """Whether a decision stands that the host has not yet acted on."""
        return self.decision is not None and self.ended_by_host is None and not self.finished


def together(request: RequestId, holds: Sequence[Record], *, past: int = 0) -> Record:
    """Return identical holds as one request of this id, in the order in which they came.

    The first that waits stands for it; then one whose host has not finished, so that nothing counts
    as confirmed before all of it is; then one that the host let go or killed.
    """
    chief = min(holds, key=_rank)
    if len(holds) == 1 and request == chief.id and not past:
        return chief
    comments = (comment for one in holds for comment in one.comments)
    return replace(
        chief,
        first=request,
        others=tuple(replace(one, comments=()) for one in holds if one is not chief),
        comments=tuple(sorted(comments, key=lambda one: (one.time_ns, one.comment))),
        past=past,
    )


def _rank(record: Record) -> int:
    if record.state is RequestState.OPEN:
        return 0
    if not record.finished:
        return 1
    return 2 if record.outcome is not None else 3

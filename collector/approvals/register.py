"""The state machine: messages in, changed records and verdicts to send out. Pure, no I/O.

Everything is kept by hold; `requests` and `shown` give what people see, identical holds as one.

Every message may come twice, and votes and decisions may come before the hold they are about.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from collector.approvals.folds import Folds
from collector.approvals.record import Record, RequestState
from wire.acts import act_digest
from wire.ids import HostId, RequestId
from wire.messages import Comment, Decision, Ground, HoldOpened, HoldState, HoldStateName, Vote


@dataclass(frozen=True, slots=True)
class Changed:
    """The message was new; `record` is how the request stands now."""

    record: Record


@dataclass(frozen=True, slots=True)
class Same:
    """The message was known already."""


@dataclass(frozen=True, slots=True)
class Early:
    """The message is about a hold that has not been heard of; it is kept until then."""


@dataclass(frozen=True, slots=True)
class Unasked:
    """A rule has denied the act and nobody was asked: for the trail, and for nobody to see here."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The message contradicts what is known and has no effect; `reason` says how."""

    reason: str


# What a host says of an act that a rule has denied: no hold was opened for it.
_WITHOUT_ASKING = {HoldStateName.DENIED, HoldStateName.KILLED}
# A hold has about four; the rest is a host that is broken or worse.
_MOST_STATES = 100

Outcome = Changed | Same | Early | Unasked | Rejected
_Said = Vote | Comment | Decision


class Register:
    """All requests that are not finished, and those finished ones that were asked about lately."""

    def __init__(self, *, keep_finished: int = 1000) -> None:
        """`keep_finished`: how many finished requests stay in memory; the trail has them all."""
        self._records: dict[RequestId, Record] = {}
        self._finished: dict[RequestId, None] = {}  # oldest first
        self._early: dict[RequestId, list[_Said]] = {}
        self._keep_finished = keep_finished
        self._folds = Folds(self._records.__getitem__)
        self._moved: dict[RequestId, None] = {}

    def restore(self, records: Iterable[Record]) -> None:
        """Put in records from the trail; one that is here already is newer and stays."""
        for record in sorted(records, key=lambda one: (one.opened.act.boot_ns, one.id)):
            if record.id not in self._records:
                self._store(self._with_early(record))

    def get(self, request: RequestId) -> Record | None:
        """Return one hold by itself, or None if it is not in memory."""
        return self._records.get(request)

    def shown(self, record: Record) -> Record:
        """Return the request that a hold belongs to, with the hold as given here."""
        return self._folds.shown(record)

    def moved(self) -> tuple[Record, ...]:
        """Return, once, the holds whose requests have changed without being asked about."""
        moved, self._moved = self._moved, {}
        return tuple(self._records[one] for one in moved if one in self._records)

    def find(self, prefix: str) -> tuple[RequestId, ...]:
        """Return the requests in memory whose id starts with `prefix`."""
        return tuple(request for request in self._records if request.startswith(prefix))

    def all(self) -> tuple[Record, ...]:
        """Return everything in memory, in no order."""
        return tuple(self._records.values())

    @property
    def waiting(self) -> int:
        """How many requests nobody has answered."""
        return sum(record.state is RequestState.OPEN for record in self._folds.all())

    def unfinished(self) -> tuple[Record, ...]:
        """Return every hold by itself that its host has not closed, newest first."""
        return _newest_first(one for one in self._records.values() if not one.finished)

    def requests(self) -> tuple[Record, ...]:
        """Return every request of which a host has not closed all, newest first."""
        return _newest_first(one for one in self._folds.all() if not one.finished)

    def opened(self, message: HoldOpened, heard_ns: int = 0) -> Outcome:
        """Take in a hold. The first to open it is the one shown, decided and released."""
        if message.digest != act_digest(message.act):
            return Rejected("the digest is not that of the act")
        known = self._records.get(RequestId(message.hold))
        if known is not None:
            if known.opened == message:
                return Same()
            if known.opened.host != message.host:
                return Rejected("another host has opened a hold of this id")
            return Rejected("the hold was opened before, with other facts")
        return Changed(self._store(self._with_early(Record(message, heard_ns=heard_ns))))

    def state(self, message: HoldState) -> Outcome:
        """Take in what the host says of its hold."""
        known = self._records.get(RequestId(message.hold))
        if known is None:
            if message.ground is Ground.RULE and message.state in _WITHOUT_ASKING:
                return Unasked()
            return Rejected("a state of a hold that was never opened")
        if known.opened.host != message.host:
            return Rejected("a state of another host's hold")
        if message.sequence < 1:
            return Rejected("the sequence of a state starts at 1")
        for state in known.states:
            if state.sequence == message.sequence:
                if state == message:
                    return Same()
                return Rejected(f"state {message.sequence} of this hold was another one before")
        if len(known.states) >= _MOST_STATES:
            return Rejected(f"a hold has at most {_MOST_STATES} states")
        states = tuple(sorted((*known.states, message), key=lambda state: state.sequence))
        return self._settled(Changed(self._store(replace(known, states=states))))

    def said(self, message: _Said) -> Outcome:
        """Take in a vote, comment or decision whose signature has been verified."""
        outcome = self._said_of(message.request, message)
        if not isinstance(message, Vote) or isinstance(outcome, Rejected):
            return self._settled(outcome)
        others = [self._said_of(RequestId(hold), message) for hold in message.also]
        # Only now, when the vote is in every hold that it names.
        settled = [self._settled(one) for one in (outcome, *others)]
        changed = [one for one in settled if isinstance(one, Changed)]
        self._moved |= dict.fromkeys(one.record.id for one in changed[1:])
        return changed[0] if changed else outcome

    def _settled(self, outcome: Outcome) -> Outcome:
        """Return the outcome, once the requests are as it makes them."""
        if isinstance(outcome, Changed):
            self._moved |= dict.fromkeys(self._folds.changed(outcome.record))
        return outcome

    def _said_of(self, request: RequestId, message: _Said) -> Outcome:
        known = self._records.get(request)
        if known is None:
            waiting = self._early.setdefault(request, [])
            if message in waiting:
                return Same()
            waiting.append(message)
            return Early()
        result = _add(known, message)
        return Changed(self._store(result)) if isinstance(result, Record) else result

    def _with_early(self, record: Record) -> Record:
        for message in self._early.pop(record.id, ()):
            result = _add(record, message)
            record = result if isinstance(result, Record) else record
        return record

    def _store(self, record: Record) -> Record:
        new = record.id not in self._records
        self._records[record.id] = record
        if new:
            self._folds.add(record)
        if record.finished:
            self._finished.pop(record.id, None)
            self._finished[record.id] = None
            while len(self._finished) > self._keep_finished:
                oldest = next(iter(self._finished))
                del self._finished[oldest]
                self._folds.drop(self._records[oldest])
                del self._records[oldest]
        return record


def _newest_first(records: Iterable[Record]) -> tuple[Record, ...]:
    return tuple(sorted(records, key=lambda r: (r.opened.opened_ns, r.id), reverse=True))


def _add(record: Record, message: _Said) -> Record | Same | Rejected:
    match message:
        case Comment():
            if any(comment.comment == message.comment for comment in record.comments):
                return Same()
            comments = sorted((*record.comments, message), key=lambda c: (c.time_ns, c.comment))
            return replace(record, comments=tuple(comments))
        case Vote():
            if message.digest_for(record.hold) != record.opened.digest:
                return Rejected("the vote is about another act than the hold's")
            if any(vote.vote == message.vote for vote in record.votes):
                return Same()
            votes = sorted((*record.votes, message), key=lambda vote: (vote.time_ns, vote.vote))
            return replace(record, votes=tuple(votes))
        case Decision():
            if message.digest != record.opened.digest:
                return Rejected("the decision is about another act than the hold's")
            if message.ground is Ground.WITHDRAWN and not record.is_ask:
                return Rejected("only an ask can be withdrawn")
            if record.decision is None:
                return replace(record, decision=message)
            return Same() if record.decision == message else Rejected("it was decided before")


def hosts_of(records: Iterable[Record]) -> dict[HostId, int]:
    """Return how many unfinished holds each host has."""
    counts: dict[HostId, int] = {}
    for record in records:
        if not record.finished:
            counts[record.opened.host] = counts.get(record.opened.host, 0) + 1
    return counts

"""How states, times and severities are said and drawn on the pages: by word and shape."""

from dataclasses import dataclass
from datetime import UTC, datetime

from collector import actwords
from collector.approvals.record import Outcome, Record, RequestState
from collector.approvals.tally import missing_words, tally
from collector.policy.model import Policy
from collector.sanitize import visible
from collector.words import count
from wire.acts import Guarantee, Kind

VERBS = {kind: f"asks to {verb}" for kind, verb in actwords.VERBS.items()} | {Kind.ASK: "asks for"}
_GUARANTEES = {
    Guarantee.HELD: "held before the act",
    Guarantee.STOPPED: "stopped after the call",
    Guarantee.LATE: "noticed late",
    Guarantee.ASKED: "only asked",
}
_STATES = {
    RequestState.OPEN: "waiting",
    RequestState.APPROVED: "approved",
    RequestState.DENIED: "denied",
    RequestState.EXPIRED: "expired",
    RequestState.CANCELLED: "cancelled",
    RequestState.SUPERSEDED: "superseded",
}
_OUTCOMES = {
    Outcome.RELEASED: "process runs on",
    Outcome.KILLED: "process killed",
    Outcome.REFUSED: "act refused",
}
_UNCONFIRMED = (RequestState.APPROVED, RequestState.DENIED, RequestState.EXPIRED)


@dataclass(frozen=True, slots=True)
class Status:
    """How a request stands: `key` picks the shape, `done` what the host confirms, in words."""

    key: str
    word: str
    done: str


def status(record: Record) -> Status:
    """Return how a request stands; nothing is said to be done that the host has not confirmed."""
    state, outcome = record.state, record.outcome
    if outcome is not None:
        return Status(outcome.value, _STATES[state], _OUTCOMES[outcome])
    waits_for_host = state in _UNCONFIRMED and not record.is_ask
    return Status(state.value, _STATES[state], "host has not confirmed" if waits_for_host else "")


def asked(record: Record, policy: Policy) -> str:
    """Return how many approvals are there and who is still asked; empty where one is enough."""
    if not policy.asks_several and not record.votes:
        return ""
    missing = tally(record.votes, policy.approve, policy.break_glass).missing
    wanted = sum(quota.votes for quota in policy.approve)
    there = wanted - sum(quota.votes for quota in missing)
    said = f"{there} of {count(wanted, 'approval')}"
    return visible(f"{said}; still asked: {missing_words(missing)}" if missing else said)


def guarantee(value: Guarantee) -> str:
    """Return in few words when the process was stopped."""
    return _GUARANTEES[value]


def iso(time_ns: int) -> str:
    """Return an instant for the `datetime` of an element; empty if it cannot be one."""
    try:
        return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return ""

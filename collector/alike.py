"""How many identical holds a request is about and how they stand, in words. Pure."""

from collections import Counter
from dataclasses import dataclass

from collector.approvals.record import Outcome, Record, RequestState
from collector.progress import clock
from wire.messages import HoldStateName

_DONE = {Outcome.RELEASED: "released", Outcome.KILLED: "killed", Outcome.REFUSED: "refused"}


@dataclass(frozen=True, slots=True)
class Alike:
    """`count` holds as one request; `words` is safe to show, and empty for one hold.

    `noted` is what a host said last of another hold than the one that is shown; it quotes the host.
    """

    count: int
    words: str
    noted: str = ""


ONE = Alike(1, "")


def alike(record: Record) -> Alike:
    """Return what is to be said of the holds of a request."""
    if not record.others:
        return ONE
    holds = record.holds
    last = max(one.opened.opened_ns for one in holds)
    stands = Counter(_stands(one) for one in holds)
    each = ", ".join(f"{number} {word}" for word, number in stands.items())
    answer = "; one answer is for all that wait" if len(record.waiting) > 1 else ""
    words = f"{len(holds)} identical, last at {clock(last)}: {each}{answer}"
    said = [
        state
        for one in record.waiting
        for state in one.states
        if state.state is HoldStateName.HELD and state.detail and state.capped is None
    ]
    noted = max(said, key=lambda state: state.time_ns).detail if said else ""
    return Alike(len(holds), words, noted)


def _stands(record: Record) -> str:
    if record.outcome is not None:
        return _DONE[record.outcome]
    if record.state is RequestState.OPEN:
        return "waiting"
    return record.state.value

"""Notices to show; every field of the request can be given."""

from pathlib import Path

from collector.approvals.record import Record
from collector.channels.interface import Asked, Notice, Route
from collector.channels.notices import Notices
from collector.identity.hosts import HostNames
from collector.shown.cards import ShownCards
from tests.unit.collector.samples import make_opened
from wire.messages import Decision, HoldOpened, HoldState, Vote

NONCE = "nonce-of-this-card"
BASE = "https://holdfast.example.com/requests/"


class _AsClaimed(HostNames):
    """Names of hosts without a file of enrolled ones."""

    def __init__(self) -> None:
        super().__init__(Path("none"))

    def name(self, host: str, claimed: str) -> str:
        """Return what the host calls itself."""
        return claimed


def make_notice(
    opened: HoldOpened | None = None,
    *states: HoldState,
    decision: Decision | None = None,
    votes: tuple[Vote, ...] = (),
    to: str = "approvals",
    asked: Asked | None = None,
) -> Notice:
    """Return the notice of a request that stands so."""
    record = Record(opened or make_opened(), states=states, votes=votes, decision=decision)
    cards = ShownCards(_AsClaimed())
    notices = Notices(cards, lambda request: BASE + request, asked=lambda _: asked)
    return notices.make(record, Route("channel", to), NONCE)

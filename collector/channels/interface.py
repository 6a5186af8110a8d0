"""What a channel is, and what it is given: the whole surface that the next channel implements.

A channel turns a Notice into a card of its own kind. It decides nothing, keeps nothing and never
retries: the dispatcher does, and every answer goes through collector/approvals/decide.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from collector.approvals.record import Outcome, Record, RequestState
from collector.card import Card
from wire.ids import RequestId
from wire.messages import Decision, Ground, Vote


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """Where a card goes: the name of a channel, and a place in it that only the channel reads."""

    channel: str
    to: str = ""

    @classmethod
    def parse(cls, text: str) -> "Route":
        """Return the route of "slack:#approvals" or "webhook"; raise ValueError if it is none."""
        channel, _, to = text.partition(":")
        if not channel.isidentifier() or not text.isprintable() or text != text.strip():
            raise ValueError(f'{text[:80]!r} is not a route, for example "slack:#approvals"')
        return cls(channel, to)

    def __str__(self) -> str:
        return f"{self.channel}:{self.to}" if self.to else self.channel


@dataclass(frozen=True, slots=True)
class Posted:
    """What a channel needs to find its card again; only the channel reads it."""

    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An AI session at its limit: `waiting` acts wait, and `denied` further ones were denied.

    `owner` quotes the host. `quarantine` is the address of the form that stops its subject there.
    """

    owner: str
    quarantine: str
    waiting: int
    denied: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is asked, in words. `stuck`: why nobody may approve it and what to do, "" if they may.

    It can change while nothing happens to the request: with time, the policy and the people.
    """

    people: str
    stuck: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One request as it stands, for one place; with `session`, the summary of an AI session.

    `shown` is the digest of `card`, which an answer that is given on it names.
    `nonce` belongs to this place alone; a click carries the request, both of these, and no more.
    `version` counts what was said of the request: of two notices the higher is the newer.
    `delivery` is the same whenever this version is sent to this place again.
    `buttons` is False where an answer from the card would be blind or too late.
    `unsure`: an earlier attempt may have been accepted, so a channel that can look for its own
    cards looks before it posts another one.
    `asked` is None where nobody is asked any more.
    `alarm`: the glass was broken and this place has not been told. A card that only changes tells
    nobody, so a channel that can change cards says it in a way that notifies; with `unsure` it
    looks first whether it has.
    A summary is nothing to approve; `request` names the session, and versions have no order.
    """

    request: RequestId
    nonce: str
    to: str
    card: Card
    shown: str
    state: RequestState
    outcome: Outcome | None
    decision: Decision | None
    votes: tuple[Vote, ...]
    finished: bool
    version: int
    delivery: str
    link: str
    buttons: bool
    unsure: bool = False
    alarm: bool = False
    asked: Asked | None = None
    session: Session | None = None

    @property
    def glass_broken(self) -> bool:
        """Whether somebody has let it go without those whom the policy asks."""
        return self.decision is not None and self.decision.ground is Ground.BREAK_GLASS


class Channel(Protocol):
    """One way to show requests to people.

    `post` and `update` raise ChannelBusyError to be asked again later, and ChannelError when
    asking again is of no use. Whatever the other side has not acknowledged is a failure.
    """

    @property
    def name(self) -> str:
        """The first half of its routes."""

    async def post(self, notice: Notice) -> Posted:
        """Show a new card; return what finds it again."""

    async def update(self, posted: Posted, notice: Notice) -> Posted:
        """Show how the request stands now; return what finds the card from here on."""

    async def run(self) -> None:
        """Serve what comes in from the channel; return if nothing does. Started again if it fails.

        A channel that only sends returns at once.
        """


Routes = Callable[[Record], Sequence[Route]]
"""Says where a request is to be shown as it stands; asked again whenever it changes."""

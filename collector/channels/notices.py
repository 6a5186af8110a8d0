"""Makes the notice of a request for one place: the one card that every channel shows."""

import hashlib
from collections.abc import Callable

from collector.approvals.capped import Capped
from collector.approvals.record import Record, RequestState
from collector.channels.interface import Asked, Notice, Route, Session
from collector.shown.cards import ShownCards
from wire.ids import RequestId
from wire.messages import Ground, HoldOpened

Shown = Record | Capped
"""What a card is of: a request, or the summary of a session at its limit."""


def version_of(shown: Shown) -> int:
    """Return how much has happened that a card shows, from 1 on.

    Remarks of people are not part of it, nor what hosts say of the session: the summary shows that.
    """
    if isinstance(shown, Capped):
        return shown.version
    beside = sum(state.capped is not None for one in shown.holds for state in one.states)
    return 1 + shown.length - len(shown.comments) + len(shown.notes) - beside


def glass_broken(shown: Shown) -> bool:
    """Return whether somebody has let it go without those who are asked, who must be told."""
    decision = None if isinstance(shown, Capped) else shown.decision
    return decision is not None and decision.ground is Ground.BREAK_GLASS


class Notices:
    """Makes notices of what is shown everywhere."""

    def __init__(
        self,
        cards: ShownCards,
        link: Callable[[RequestId], str],
        quarantine: Callable[[str, str], str] = lambda _, __: "",
        asked: Callable[[Record], Asked | None] = lambda _: None,
    ) -> None:
        """`link` gives the address of a request's page, where people sign in and decide.

        `quarantine` gives that of the form that stops a subject on a host. `asked` says who is
        asked about a request now.
        """
        self._cards = cards
        self._link = link
        self._quarantine = quarantine
        self._asked = asked

    def prepare(self, shown: Shown) -> None:
        """Begin to write the card that `make` is about to give out, so that `written` is soon."""
        if isinstance(shown, Capped):
            self._cards.of_session(shown)
        else:
            self._cards.of(shown)

    def make(
        self,
        shown: Shown,
        route: Route,
        nonce: str,
        *,
        unsure: bool = False,
        alarm: bool = False,
    ) -> Notice:
        """Return the request, or session, as it stands, for the card of this nonce."""
        if isinstance(shown, Capped):
            return self._summary(shown, route, nonce, unsure=unsure)
        record = shown
        shown_card, version = self._cards.of(record), version_of(record)
        card = shown_card.card
        return Notice(
            request=record.id,
            nonce=nonce,
            to=route.to,
            card=card,
            shown=shown_card.digest,
            state=record.state,
            outcome=record.outcome,
            decision=record.decision,
            votes=record.votes,
            finished=record.finished,
            version=version,
            delivery=_delivery(nonce, version, self.beside(record)),
            link=self._link(record.id),
            # Where something is hidden, an answer from the card would be to what nobody saw.
            buttons=record.state is RequestState.OPEN and card.hidden_bytes == 0,
            unsure=unsure,
            alarm=alarm,
            asked=self._asked(record),
        )

    def beside(self, shown: Shown) -> str:
        """Return what is shown beside the card and is no part of the version; it may change."""
        asked = None if isinstance(shown, Capped) else self._asked(shown)
        return "" if asked is None else f"{asked.people}\n{asked.stuck}"

    def host_name(self, opened: HoldOpened) -> str:
        """Return the enrolled name, so that no host can pass for another one before a reviewer."""
        return self._cards.host_name(opened)

    async def written(self) -> None:
        """Return once the disk has what was made, or cannot take it."""
        await self._cards.written()

    def _summary(self, capped: Capped, route: Route, nonce: str, *, unsure: bool) -> Notice:
        host_name, shown = self.host_name(capped.of), self._cards.of_session(capped)
        return Notice(
            request=capped.id,
            nonce=nonce,
            to=route.to,
            card=shown.card,
            shown=shown.digest,
            # Nobody has decided anything by it when it is over.
            state=RequestState.CANCELLED if capped.finished else RequestState.OPEN,
            outcome=None,
            decision=None,
            votes=(),
            finished=capped.finished,
            version=capped.version,
            delivery=_delivery(nonce, capped.version),
            link=self._link(capped.id),
            buttons=not capped.finished,
            unsure=unsure,
            session=Session(
                owner=capped.of.owner,
                quarantine=self._quarantine(capped.of.act.subject, host_name),
                waiting=capped.acts,
                denied=capped.denied,
            ),
        )


def _delivery(nonce: str, version: int, beside: str = "") -> str:
    # The nonce itself is only for those who may click.
    return hashlib.sha256(f"{nonce}/{version}/{beside}".encode()).hexdigest()[:32]

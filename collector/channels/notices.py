"""Makes the notice of a request for one place: the one card that every channel shows."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from collector.alike import alike
from collector.approvals.capped import Capped
from collector.approvals.record import Record, RequestState
from collector.capped_card import render_capped
from collector.card import Card, render
from collector.channels.interface import Notice, Route, Session
from collector.identity.hosts import HostNames
from wire.ids import RequestId
from wire.messages import HoldOpened

_KEPT_CARDS = 256


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


class Notices:
    """Renders requests under the enrolled names of hosts; the newest cards are kept."""

    def __init__(
        self,
        names: HostNames,
        link: Callable[[RequestId], str],
        quarantine: Callable[[str, str], str] = lambda _, __: "",
    ) -> None:
        """`link` gives the address of a request's page, where people sign in and decide.

        `quarantine` gives that of the form that stops a subject on a host.
        """
        self._names = names
        self._link = link
        self._quarantine = quarantine
        self._cards: OrderedDict[tuple[RequestId, int], Card] = OrderedDict()

    def make(self, shown: Shown, route: Route, nonce: str, *, unsure: bool = False) -> Notice:
        """Return the request, or session, as it stands, for the card of this nonce."""
        if isinstance(shown, Capped):
            return self._summary(shown, route, nonce, unsure=unsure)
        record = shown
        card, version = self._card(record), version_of(record)
        return Notice(
            request=record.id,
            nonce=nonce,
            to=route.to,
            card=card,
            state=record.state,
            outcome=record.outcome,
            decision=record.decision,
            votes=record.votes,
            finished=record.finished,
            version=version,
            delivery=_delivery(nonce, version),
            link=self._link(record.id),
            # Where something is hidden, an answer from the card would be to what nobody saw.
            buttons=record.state is RequestState.OPEN and card.hidden_bytes == 0,
            unsure=unsure,
        )

    def host_name(self, opened: HoldOpened) -> str:
        """Return the enrolled name, so that no host can pass for another one before a reviewer."""
        return self._names.name(opened.host, opened.host_name)

    def _summary(self, capped: Capped, route: Route, nonce: str, *, unsure: bool) -> Notice:
        host_name = self.host_name(capped.of)
        return Notice(
            request=capped.id,
            nonce=nonce,
            to=route.to,
            card=render_capped(capped, host_name),
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

    def _card(self, record: Record) -> Card:
        key = (record.id, version_of(record))
        card = self._cards.pop(key, None)
        if card is None:
            opened = replace(record.opened, host_name=self.host_name(record.opened))
            card = render(opened, record.states, record.decision, alike(record), record.notes)
        self._cards[key] = card
        if len(self._cards) > _KEPT_CARDS:
            self._cards.popitem(last=False)
        return card


def _delivery(nonce: str, version: int) -> str:
    # The nonce itself is only for those who may click.
    return hashlib.sha256(f"{nonce}/{version}".encode()).hexdigest()[:32]

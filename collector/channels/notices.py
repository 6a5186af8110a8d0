"""Makes the notice of a request for one place: the one card that every channel shows."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from collector.alike import alike
from collector.approvals.record import Record, RequestState
from collector.card import Card, render
from collector.channels.interface import Notice, Route
from collector.identity.hosts import HostNames
from wire.ids import RequestId

_KEPT_CARDS = 256


def version_of(record: Record) -> int:
    """Return how much has happened that a card shows, from 1 on; remarks are not part of it."""
    return 1 + record.length - len(record.comments)


class Notices:
    """Renders requests under the enrolled names of hosts; the newest cards are kept."""

    def __init__(self, names: HostNames, link: Callable[[RequestId], str]) -> None:
        """`link` gives the address of a request's page, where people sign in and decide."""
        self._names = names
        self._link = link
        self._cards: OrderedDict[tuple[RequestId, int], Card] = OrderedDict()

    def make(self, record: Record, route: Route, nonce: str, *, unsure: bool = False) -> Notice:
        """Return the request as it stands, for the card of this nonce."""
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

    def _card(self, record: Record) -> Card:
        key = (record.id, version_of(record))
        card = self._cards.pop(key, None)
        if card is None:
            # The enrolled name, so that no host can pass for another one before a reviewer.
            name = self._names.name(record.opened.host, record.opened.host_name)
            opened = replace(record.opened, host_name=name)
            card = render(opened, record.states, record.decision, alike(record))
        self._cards[key] = card
        if len(self._cards) > _KEPT_CARDS:
            self._cards.popitem(last=False)
        return card


def _delivery(nonce: str, version: int) -> str:
    # The nonce itself is only for those who may click.
    return hashlib.sha256(f"{nonce}/{version}".encode()).hexdigest()[:32]

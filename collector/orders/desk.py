"""Orders as people give them: a grant or quarantine by the start of its id, a host by its name.

Every channel that takes orders goes through here, so that all refuse the same and say the same.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from collector.approvals.book import Book
from collector.approvals.record import Record
from collector.errors import Refusal
from collector.identity.hosts import HostNames
from collector.identity.people import Caller
from collector.orders.issue import Issuer
from collector.orders.ledger import KnownGrant, KnownQuarantine, Ledger
from collector.trail.reader import Reader, RequestFilter
from wire.ids import HostId, OrderId

_SHORTEST = 6
# So many of a subject's requests tell whose it is.
_ASKED = 1000

T = TypeVar("T", KnownGrant, KnownQuarantine)


@dataclass(frozen=True, slots=True)
class OrderDesk:
    """Takes orders in people's words; every method raises Refusal."""

    issuer: Issuer
    book: Book
    reader: Reader
    names: HostNames

    @property
    def ledger(self) -> Ledger:
        """Every order there is."""
        return self.issuer.ledger

    def find_grant(self, text: str) -> KnownGrant:
        """Return the grant that an id, or a unique start of one, names."""
        return _find(text, {one.grant.order: one for one in self.ledger.grants()}, "grant")

    def find_quarantine(self, text: str) -> KnownQuarantine:
        """Return the quarantine that an id, or a unique start of one, names."""
        return _find(text, {one.id: one for one in self.ledger.quarantines()}, "quarantine")

    async def revoke(self, caller: Caller, text: str, *, reason: str, via: str) -> KnownGrant:
        """End a grant; return it as it is then."""
        known = self.find_grant(text)
        await self.issuer.revoke(caller, known, reason=reason, via=via)
        return self.ledger.grant(known.grant.order) or known

    async def quarantine(
        self, caller: Caller, subject: str, host: str | None, *, reason: str, via: str
    ) -> KnownQuarantine:
        """Stop a subject on the host of this name or id, or with None everywhere."""
        wanted = await self._host_of_subject(subject, host)
        return await self.issuer.quarantine(caller, subject, wanted, reason=reason, via=via)

    async def check_target(self, subject: str, host: str | None) -> None:
        """Refuse a subject or a host that is not there."""
        await self._host_of_subject(subject, host)

    async def lift(self, caller: Caller, text: str, *, reason: str, via: str) -> KnownQuarantine:
        """End a quarantine; nobody lifts that of a subject of their own."""
        known = self.find_quarantine(text)
        asked = await self._asked(known.first.subject)
        await self.issuer.lift(caller, known, asked=asked, reason=reason, via=via)
        return self.ledger.quarantine(known.id) or known

    async def _host_of_subject(self, subject: str, host: str | None) -> HostId | None:
        """Return the host that is meant, None for all; refuse if none has such a subject."""
        enrolled = {one.host for one in await asyncio.to_thread(self.names.all)}
        wanted = None if host is None else await asyncio.to_thread(self.names.find, host)
        if wanted is not None and wanted not in enrolled:
            raise Refusal(
                404, "unknown_host", f"there is no host {host!r}", "see `holdfast hosts` for all"
            )
        said: dict[str, list[str]] = {
            row["host"]: row["subjects"] or [] for row in await self.reader.hosts()
        }
        hosts = enrolled if wanted is None else {wanted}
        # One that has said nothing yet may have any subject.
        if all(one in said for one in hosts) and not any(subject in said[one] for one in hosts):
            known = sorted({name for one in hosts for name in said[one]})
            raise Refusal(
                404,
                "unknown_subject",
                f"no such subject is watched there: {subject[:64]!r}",
                "see `holdfast hosts` for the subjects of each host",
                {"subjects": known[:50]},
            )
        return wanted

    async def _asked(self, subject: str) -> list[Record]:
        """Return the newest requests of a subject, from all hosts; the trail may be behind."""
        wanted = RequestFilter(subject=subject, limit=_ASKED)
        stored = await self.book.many(await self.reader.list_requests(wanted))
        memory = self.book.register.all()
        return [*stored, *(one for one in memory if one.opened.act.subject == subject)]


def _find(text: str, known: Mapping[OrderId, T], name: str) -> T:
    prefix = text.strip().lower()
    found = [one for one in known if one.startswith(prefix)] if len(prefix) >= _SHORTEST else []
    if len(found) > 1:
        raise Refusal(
            409,
            "ambiguous_prefix",
            f"several begin with {prefix}",
            "give more digits of the id",
            {"matches": sorted(found)[:10]},
        )
    if not found:
        raise Refusal(
            404,
            f"unknown_{name}",
            f"there is no {name} {text[:64]!r}",
            f"see `holdfast {name}s` for those there are, or give 6 digits or more",
        )
    return known[found[0]]

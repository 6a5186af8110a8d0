"""Gives orders: signs them, stores each in the stream, and sees that no host is left out.

An order is one message per host. What could not be stored for some hosts is completed by `run`, and
so is a quarantine of everywhere for a host that was enrolled later.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from collector.approvals import checks
from collector.approvals.decide import CheckFresh, Decider
from collector.approvals.record import Record
from collector.config import Grants
from collector.errors import CentreError, Refusal, UnconfirmedError
from collector.identity.hosts import EnrolledHost
from collector.identity.people import Caller
from collector.nats.publish import Publisher
from collector.orders.granting import Granting
from collector.orders.ledger import GrantState, KnownGrant, KnownQuarantine, Ledger
from collector.orders.terms import Terms, check_terms
from collector.orders.whose import owners
from wire import subjects
from wire.codec import encode
from wire.ids import HostId, OrderId, new_id
from wire.messages import Answer, Severity
from wire.orders import Grant, GrantRevoked, Order, Quarantine, QuarantineLifted
from wire.signing import Signer

log = logging.getLogger(__name__)

_AGAIN_S = 2.0
_LOOK_S = 30.0


class Issuer:
    """The one door for orders. `hosts` returns every enrolled host, as of now."""

    def __init__(
        self,
        ledger: Ledger,
        granting: Granting,
        decider: Decider,
        publisher: Publisher,
        signer: Signer,
        *,
        hosts: Callable[[], Sequence[EnrolledHost]],
        limits: Grants,
        check_fresh: CheckFresh | None = None,
    ) -> None:
        """`check_fresh` is the Decider's; lifting a quarantine is as grave as what is critical."""
        self.ledger = ledger
        self.limits = limits
        self._granting = granting
        self._decider = decider
        self._publisher = publisher
        self._signer = signer
        self._hosts = hosts
        self._check_fresh = check_fresh
        self._wake = asyncio.Event()
        self._started: dict[HostId, int] = {}
        self._tell_again: set[HostId] = set()

    # -- grants -------------------------------------------------------------------------------

    async def approve_for_a_time(
        self,
        caller: Caller,
        record: Record,
        terms: Terms,
        *,
        reason: str,
        digest: str | None,
        via: str,
        card: str = "",
    ) -> tuple[Record, Grant | None]:
        """Approve a request and, if that decides it, make the grant; raise Refusal.

        None without a grant: others are still asked, or one of them approves for this once.
        """
        check_terms(record, terms, self.limits)
        decided = await self._decider.decide(
            caller,
            record,
            answer=Answer.APPROVE,
            reason=reason,
            digest=digest,
            via=via,
            wanted=terms.wanted,
            card=card,
        )
        try:
            return decided, await self._granting.grant(decided)
        except CentreError as error:
            raise Refusal(
                503,
                "grant_unconfirmed",
                f"the request is approved, and it is not known whether the grant was made: {error}",
                "see `holdfast grants`",
                {"request": record.id},
            ) from error

    async def revoke(self, caller: Caller, known: KnownGrant, *, reason: str, via: str) -> None:
        """End a grant; raise Refusal. Whoever may decide may do so, also the owner: it only takes
        away."""
        checks.check_decides(caller)
        if known.state(time.time_ns()) is GrantState.REVOKED:
            raise Refusal(409, "already_revoked", "the grant was revoked before", "nothing is left")
        await self._give(
            GrantRevoked(
                order=OrderId(new_id()),
                host=known.grant.host,
                grant=known.grant.order,
                by=caller.name,
                via=via,
                reason=_reason(reason, needed=False),
                time_ns=time.time_ns(),
            )
        )

    # -- quarantines --------------------------------------------------------------------------

    async def quarantine(
        self, caller: Caller, subject: str, host: HostId | None, *, reason: str, via: str
    ) -> KnownQuarantine:
        """Stop a subject on a host, or everywhere; raise Refusal. Whoever may decide may do so."""
        checks.check_decides(caller)
        text = _reason(reason, needed=True)
        for known in self.ledger.quarantines():
            if known.lifted is None and _covers(known, subject, host):
                raise Refusal(
                    409,
                    "already_quarantined",
                    f"{known.first.by} has put it under quarantine before",
                    "nothing is left to do",
                    {"quarantine": known.id},
                )
        hosts = [host] if host is not None else [one.host for one in await self._enrolled()]
        if not hosts:
            raise Refusal(409, "no_hosts", "no host is enrolled", "enrol one first")
        first = Quarantine(
            order=OrderId(new_id()),
            host=hosts[0],
            quarantine=OrderId(new_id()),
            subject=subject,
            everywhere=host is None,
            by=caller.name,
            via=via,
            reason=text,
            time_ns=time.time_ns(),
        )
        await self._give_each([replace(first, order=_id(), host=one) for one in hosts])
        found = self.ledger.quarantine(first.quarantine)
        assert found is not None, "it was just given"
        return found

    async def lift(
        self, caller: Caller, known: KnownQuarantine, *, asked: Sequence[Record], reason: str,
        via: str,
    ) -> None:  # fmt: skip
        """End a quarantine on all its hosts; raise Refusal.

        `asked` are requests of the subject, which tell whose it is, as its hosts do: nobody lifts
        their own.
        """
        checks.check_decides(caller)
        text = _reason(reason, needed=True)
        whole = self._decider.policies.known.whole(caller)
        for record in asked:
            checks.check_reviewer(record, whole)
        for owner in await self._owners(known):
            checks.check_not_own(owner, whole)
        if known.lifted is not None:
            raise Refusal(409, "already_lifted", f"{known.lifted.by} has lifted it", "nothing left")
        if self._check_fresh is not None:
            what = "a quarantine is lifted"
            self._check_fresh(caller, Severity.CRITICAL, time.time_ns(), what=what)
        await self._give_each(
            [
                QuarantineLifted(
                    order=_id(),
                    host=host,
                    quarantine=known.id,
                    by=caller.name,
                    via=via,
                    reason=text,
                    time_ns=time.time_ns(),
                )
                for host in known.orders
            ]
        )

    def host_started(self, host: HostId, started_ns: int) -> None:
        """Tell a host again what is in force: it may be new, or have lost its journal."""
        if self._started.get(host) != started_ns:
            self._started[host] = started_ns
            self._tell_again.add(host)
            self._wake.set()

    async def run(self) -> None:
        """Complete what is missing, for ever; cancel to stop."""
        while True:
            try:
                self._wake.clear()
                again = frozenset(self._tell_again)
                for order in await self._missing(again):
                    await self._store(order)
                self._tell_again -= again
                async with asyncio.timeout(_LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                continue
            except CentreError as error:
                log.warning("orders wait: %s", error)
                await asyncio.sleep(_AGAIN_S)

    async def _missing(self, again: frozenset[HostId]) -> list[Order]:
        """Return the orders that some host should have and has not, or should have `again`."""
        enrolled = [one.host for one in await self._enrolled()]
        missing: list[Order] = []
        for known in self.ledger.quarantines():
            lifted = known.lifted
            if lifted is not None:
                left = [host for host in known.orders if host not in known.lifts]
                missing += [replace(lifted, order=_id(), host=host) for host in left]
                continue
            wanted = enrolled if known.first.everywhere else list(known.orders)
            left = [host for host in wanted if host not in known.orders or host in again]
            missing += [replace(known.first, order=_id(), host=host) for host in left]
        return missing

    # -- small things -------------------------------------------------------------------------

    async def _owners(self, known: KnownQuarantine) -> Sequence[str]:
        try:
            return await owners(self._publisher, known.first.subject, known.orders)
        except CentreError as error:
            raise Refusal(
                503,
                "nats_unavailable",
                f"nothing was lifted: whose the subject is cannot be read: {error}",
                "see to the NATS server, then try again",
            ) from error

    async def _enrolled(self) -> Sequence[EnrolledHost]:
        return await asyncio.to_thread(self._hosts)

    async def _give_each(self, orders: Sequence[Order]) -> None:
        """Store the orders of one action; what is left after the first is completed by `run`."""
        await self._give(orders[0])
        for order in orders[1:]:
            try:
                await self._store(order)
            except CentreError as error:
                log.warning("host %s: its order waits: %s", order.host, error)
                self._wake.set()

    async def _give(self, order: Order) -> None:
        try:
            await self._store(order)
        except CentreError as error:
            known = isinstance(error, UnconfirmedError)
            raise Refusal(
                503,
                "answer_unconfirmed" if known else "nats_unavailable",
                f"it is not known whether the order was stored: {error}"
                if known
                else f"nothing was ordered: {error}",
                "see to the NATS server, then look again",
            ) from error

    async def _store(self, order: Order) -> None:
        data = encode(order)
        await self._publisher.first(
            subjects.ORDERS,
            subjects.order(order.host, order.order),
            data,
            self._signer.headers(data),
        )
        self.ledger.take(order)


def _covers(known: KnownQuarantine, subject: str, host: HostId | None) -> bool:
    if known.first.subject != subject:
        return False
    return known.first.everywhere or (host is not None and host in known.orders)


def _reason(text: str, *, needed: bool) -> str:
    reason = checks.check_text(text, longest=checks.LONGEST_REASON, name="reason")
    if needed and not reason:
        raise Refusal(
            422, "reason_required", "a quarantine asks for a reason", "say in a few words why"
        )
    return reason


def _id() -> OrderId:
    return OrderId(new_id())

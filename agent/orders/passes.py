"""Has the kernel itself let pass what grants cover, where calls are held before they are made.

A grant is handed to the kernel with the identity of a call that was held and that it covers: of the
request that it was made with, or of the first act that the agent has let go by it.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable

from agent.clock import Clock
from agent.errors import AgentError
from agent.orders.check import in_time
from agent.orders.store import OrderStore
from agent.rulings import Ruled
from agent.sensor.interface import HeldKey, Sensor, Terms
from rules.model import Action
from wire.acts import Act, Guarantee, Kind, Process
from wire.ids import HoldId, OrderId, RequestId, request_of
from wire.orders import Grant
from wire.redaction.marks import has_marks

log = logging.getLogger("holdfast.agent.orders")

_REMEMBERED = 4096
_KINDS = frozenset({Kind.OPEN, Kind.CONNECT, Kind.SEND})


class Passes:
    """Keeps the kernel's grants like those in the store."""

    def __init__(
        self,
        store: OrderStore,
        sensor: Sensor,
        judge: Callable[[Act], Ruled],
        clock: Clock,
        *,
        boot_id: str,
        notice: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._sensor = sensor
        self._judge = judge
        self._clock = clock
        self._boot_id = boot_id
        self._notice = notice
        self._terms: OrderedDict[RequestId, Terms] = OrderedDict()

    def seen(self, hold: HoldId, act: Act, key: HeldKey) -> None:
        """Remember what an act that is asked about is to the kernel: it may come to be granted."""
        self._learn(request_of(hold), act, key)

    def used(self, grant: Grant, act: Act, key: HeldKey) -> None:
        """Remember the same of an act that a grant was found to cover."""
        self._learn(grant.request, act, key)

    def take(self, grant: OrderId) -> bool:
        """Return whether a use is left that the kernel has not let pass; it is taken then."""
        return self._sensor.permits.take_use(grant)

    def compare(self) -> None:
        """See that the kernel's counts, all of whose uses are in the journal, are the journal's."""
        for grant, left in self._sensor.permits.left().items():
            journalled = self._store.uses_left(grant)
            if left != journalled:
                self._notice(
                    "grant_counts_differ",
                    f"grant {grant}: {left} uses are left by the kernel's count and {journalled} "
                    "by the journal's; the lower counts",
                )
                self._sensor.permits.limit(grant, min(left, journalled))

    def sync(self) -> None:
        """Let nothing pass that is not granted any more, and what is; never raises."""
        try:
            self._sync()
        except (AgentError, OSError) as error:
            # What the kernel does not let pass is held, and the agent answers for the grant.
            log.exception("the kernel's grants are not as they should be")
            self._notice("grants_not_in_kernel", str(error))

    def _sync(self) -> None:
        permits = self._sensor.permits
        wanted = {one.order: one for one in self._in_force() if self._may_pass(one)}
        there = permits.left()
        for order in there:
            if order not in wanted:
                permits.forbid(order)
        for order, grant in wanted.items():
            terms = self._terms.get(grant.request)
            if order in there or terms is None:
                continue
            boot_ns = self._clock.boot_ns()
            # By whichever clock it ends first, as they are now.
            ends = min(grant.expires_boot_ns, boot_ns + grant.expires_ns - self._clock.now_ns())
            permits.permit(
                order,
                terms,
                whole_subject=not grant.session,
                uses=self._store.uses_left(order),
                expires_boot_ns=ends,
            )

    def _in_force(self) -> list[Grant]:
        boot_ns, now_ns = self._clock.boot_ns(), self._clock.now_ns()
        kept = self._store.grants(self._boot_id)
        return [grant for grant in kept if in_time(grant, boot_ns=boot_ns, now_ns=now_ns)]

    def _may_pass(self, grant: Grant) -> bool:
        """Return whether the rules as they are would have somebody asked, by the same rule.

        They decide by nothing that a grant for a file or an address does not name.
        """
        covers = grant.covers
        # Of a path that has a secret the grant knows only the mark, by which no rule can be asked.
        act = _act_of(grant)
        if covers.kind not in _KINDS or has_marks(act):
            return False
        if self._store.quarantine_of(grant.subject) is not None:
            return False
        ruled = self._judge(act)
        rule = ruled.rule
        return ruled.action is Action.ASK and rule is not None and rule.id == covers.rule

    def _learn(self, request: RequestId, act: Act, key: HeldKey) -> None:
        if act.kind not in _KINDS or act.guarantee is not Guarantee.HELD:
            return
        terms = self._sensor.permits.terms_of(key)
        if terms is None:
            return
        self._terms[request] = terms
        self._terms.move_to_end(request)
        if len(self._terms) > _REMEMBERED:
            self._terms.popitem(last=False)


def _act_of(grant: Grant) -> Act:
    """Return an act that a grant covers, as far as rules about its kind look."""
    covers = grant.covers
    return Act(
        kind=covers.kind,
        guarantee=Guarantee.HELD,
        time_ns=grant.time_ns,
        boot_ns=0,
        subject=grant.subject,
        session=grant.session,
        process=Process(pid=0, start_ns=0, comm="", uid=covers.uid),
        tid=0,
        gid=covers.gid,
        executable="",
        path=covers.path,
        device=covers.device,
        inode=covers.inode,
        flags=covers.flags,
        transport=covers.transport,
        address=covers.address,
        port=covers.port,
    )

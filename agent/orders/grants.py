"""Finds the grant that answers for a person: the act that was approved, to the letter."""

from collections.abc import Callable
from dataclasses import replace

from agent.clock import Clock
from agent.orders.check import in_time
from agent.orders.programs import Programs
from agent.orders.store import OrderStore
from wire.acts import Act
from wire.ids import OrderId, RequestId
from wire.messages import HoldOpened
from wire.orders import Covered, Grant, covered


class Grants:
    """The grants of this host, asked about acts that a rule asks about."""

    def __init__(
        self,
        store: OrderStore,
        programs: Programs,
        clock: Clock,
        boot_id: str,
        *,
        take: Callable[[OrderId], bool] = lambda _: True,
    ) -> None:
        """`take` says whether one of the uses is left that may be spent elsewhere too."""
        self._take = take
        self._store = store
        self._programs = programs
        self._clock = clock
        self._boot_id = boot_id

    def judge(
        self, opened: HoldOpened, seen: Act, *, but: RequestId | None = None
    ) -> tuple[HoldOpened, Grant | None]:
        """Return what the centre is told of a hold, and the grant that covers it, if one does.

        One use of that is the caller's to count. `but`: no grant that was made with this request.
        The process must be stopped: its program is looked at, as it is now, by the act as it was
        `seen`. A grant has secrets as marks, which only the same secrets have; so has the hold.
        """
        act, rule = opened.act, opened.rule.id
        program = self._programs.look(seen)
        told = replace(opened, program=program.state, not_grantable=program.why_not)
        if program.why_not:
            return told, None
        wanted = covered(act, rule, program.state)
        grant = next(
            (
                one
                for one in self._in_force()
                if one.request != but and _is_for(one, act, wanted) and self._take(one.order)
            ),
            None,
        )
        return (replace(told, grant=grant.order), grant) if grant else (told, None)

    def _in_force(self) -> list[Grant]:
        boot_ns, now_ns = self._clock.boot_ns(), self._clock.now_ns()
        kept = self._store.grants(self._boot_id)
        return [grant for grant in kept if in_time(grant, boot_ns=boot_ns, now_ns=now_ns)]


def _is_for(grant: Grant, act: Act, wanted: Covered) -> bool:
    return (
        grant.subject == act.subject
        and grant.session in ("", act.session)
        and grant.covers == wanted
    )

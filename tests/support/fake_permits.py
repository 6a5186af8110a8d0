"""The kernel's grants without a kernel: like its maps, they outlive the agent."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from agent.sensor.interface import HeldKey, Terms, Use
from wire.acts import Act
from wire.ids import OrderId

TERMS = Terms(
    subject=1,
    root_pid=7,
    root_start_ns=1,
    uid=0,
    gid=0,
    identity_hash=1,
    identity=b"",
)


@dataclass
class FakePermits:
    """Implements interface.Permits. `able`: whether this kernel side lets anything pass by itself.

    `given` has limit and count of each grant, `whole` those of a whole subject; `acts` are the uses
    that were made, of which `unread` were not yet taken.
    """

    able: bool = False
    given: dict[OrderId, list[int]] = field(default_factory=dict)
    whole: set[OrderId] = field(default_factory=set)
    expires: dict[OrderId, int] = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)
    unread: list[Use] = field(default_factory=list)

    def terms_of(self, key: HeldKey) -> Terms | None:
        """Return terms, all the same."""
        return TERMS if self.able else None

    def permit(
        self, order: OrderId, terms: Terms, *, whole_subject: bool, uses: int, expires_boot_ns: int
    ) -> bool:
        """Note a grant."""
        self.given[order] = [uses, 0]
        self.expires[order] = expires_boot_ns
        if whole_subject:
            self.whole.add(order)
        return True

    def left(self) -> Mapping[OrderId, int]:
        """Return how many uses are left."""
        return {order: limit - count for order, (limit, count) in self.given.items()}

    def forbid(self, order: OrderId) -> None:
        """Forget a grant."""
        self.given.pop(order, None)

    def limit(self, order: OrderId, uses: int) -> None:
        """Leave a grant so many uses."""
        self.given[order][0] = self.given[order][1] + uses

    def take_use(self, order: OrderId) -> bool:
        """Take one, if one is left."""
        if order not in self.given:
            return True
        if self.left()[order] < 1:
            return False
        self.given[order][0] -= 1
        return True

    def uses(self) -> Iterator[Use]:
        """Yield what was used; one is forgotten once the next is asked for."""
        while self.unread:
            yield self.unread[0]
            self.unread.pop(0)

    def use(self, order: OrderId, act: Act) -> None:
        """Let an act pass, as the kernel does; fail if no use is left."""
        assert self.left()[order] > 0
        self.given[order][1] += 1
        self.acts.append(act)
        self.unread.append(Use(order, str(len(self.acts) - 1).encode()))

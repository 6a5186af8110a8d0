"""The real collector, in a process that dies by SIGKILL at a point that a test names.

Run as `python -m tests.support.mortal_collector POINT CONFIG`. It says "ready" as the collector
does, and "dying" before it dies. The hooks are put in here; the product has none.
"""

import os
import re
import signal
import sys
from typing import Any

from collector.__main__ import main
from collector.approvals.decide import Decider
from collector.approvals.settle import Settling
from collector.ingest.feed import Feed
from collector.orders.granting import Granting
from collector.trail.segments import spill
from collector.trail.writer import Writer

_TABLES = ("holds", "hold_states", "votes", "decisions", "events")
# Events are in a file or in a table; their batches have rows in the same transaction.
_POINT_OF = {"batches": "events"}
_STREAMS = ("HF_HOLDS", "HF_VOTES", "HF_DECISIONS", "HF_EVENTS")
# Where an answer is on its way through the one door.
ANSWERING = ("vote", "decision", "verdict")
GRANTING = ("before the grant is stored", "after the grant is stored")
POINTS = (
    *(f"{side} the commit of {table}" for table in _TABLES for side in ("before", "after")),
    *(f"before the acknowledgement of {stream}" for stream in _STREAMS),
    *(f"{side} the {what} is stored" for what in ANSWERING for side in ("before", "after")),
)


class Death:
    """Ends the process at one point, and only there."""

    def __init__(self, point: str) -> None:
        assert point in (*POINTS, *GRANTING), point
        self._point = point

    @property
    def of_events(self) -> bool:
        """Whether it is about events."""
        return self._point.lower().endswith("events")

    def at(self, point: str) -> None:
        """Die if this is the point."""
        if point == self._point:
            print("dying", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)


class _Connection:
    """The writer's cursor; knows which tables a transaction has rows for."""

    def __init__(self, real: Any, death: Death) -> None:
        self._real, self._death = real, death
        self._tables: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, sql: str, *values: Any) -> Any:
        """Do it, and die on the side of a COMMIT that was asked for."""
        if sql == "BEGIN":
            self._tables = []
        elif found := re.match(r"INSERT INTO (\w+)", sql):
            self._tables.append(_POINT_OF.get(found[1], found[1]))
        elif sql == "COMMIT":
            self._die("before")
            done = self._real.execute(sql)
            self._die("after")
            return done
        return self._real.execute(sql, *values)

    def _die(self, side: str) -> None:
        for table in self._tables:
            self._death.at(f"{side} the commit of {table}")


def _hook(death: Death) -> None:
    if death.of_events:  # then they are in files, which the start after the kill has to tell apart
        spill.WORTH_A_FILE = 1
    init, acknowledge = Writer.__init__, Feed._acknowledge

    def with_deadly_cursor(self: Writer, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)
        # Before anything is queued, so the thread has not looked at it yet.
        self._connection = _Connection(self._connection, death)  # type: ignore[assignment]

    async def acknowledged(self: Feed, run: Any) -> None:
        death.at(f"before the acknowledgement of {self.name.removeprefix('ingest ')}")
        await acknowledge(self, run)

    Writer.__init__ = with_deadly_cursor  # type: ignore[method-assign]
    Feed._acknowledge = acknowledged  # type: ignore[method-assign]
    steps = ((Decider, "_append"), (Settling, "_decide"), (Settling, "_try_to_deliver"))
    for (owner, method), what in zip(steps, ANSWERING, strict=True):
        setattr(owner, method, _around(getattr(owner, method), what, death))
    Granting._make = _around(Granting._make, "grant", death)  # type: ignore[method-assign]


def _around(method: Any, what: str, death: Death) -> Any:
    async def around(self: Decider | Settling | Granting, *arguments: Any) -> Any:
        death.at(f"before the {what} is stored")
        done = await method(self, *arguments)
        death.at(f"after the {what} is stored")
        return done

    return around


if __name__ == "__main__":
    _, point, config = sys.argv
    _hook(Death(point))
    sys.argv = ["holdfast-collector", "run", "--config", config]
    main()

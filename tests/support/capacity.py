"""How many observed acts a second one core of the agent takes, from the kernel's ring to its spool.

Each round fills the ring with nobody reading, and then takes the CPU time of reading it all: what
the agent could keep up with, whatever this machine's processes can make meanwhile.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.clock import SystemClock
from agent.errors import TransportError
from agent.events import EventPipeline
from agent.rows import Columns
from agent.rulings import RuleBook
from agent.transport.sender import EventSender
from agent.transport.spool import Spool
from rules.modes import HostMode
from tests.support.flood import Flooded, build, command
from tests.support.watched import Watched
from wire.ids import HostId, MessageId

RULES = """
rules:
  - id: flood.seen
    description: Opens one of the files that are opened all the time.
    severity: info
    match: { open: { path: "{place}/flood/**" } }
    action: observe
"""
_HOST = HostId("a" * 32)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one round came to."""

    opens: int
    rows: int
    cpu_ns: int  # of the agent's thread

    @property
    def a_second(self) -> float:
        """How many acts a second one core takes."""
        return self.opens * 1e9 / self.cpu_ns


class Capacity:
    """A pipeline on a real sensor and a real spool, and a flood to fill the ring with."""

    def __init__(self, watched: Watched, spool: Spool) -> None:
        """`watched` has been started; its rules become those of the measurement."""
        self._watched = watched
        place = watched.place
        (place / "flood").mkdir(exist_ok=True)
        self._program = build(place)
        self._rows = 0
        watched.rules(RULES)
        book = RuleBook([place / "rules.yaml"], ["ai"], HostMode.STOP)
        self._sender = EventSender(spool, _Nowhere(), _HOST, SystemClock())
        self.pipeline = EventPipeline(watched.sensor, book, self._add)
        self.pipeline.drain()

    def files(self, count: int) -> Sequence[Path]:
        """Return files that the flood may open in turn."""
        found = [self._watched.place / "flood" / str(number) for number in range(count)]
        for file in found:
            file.touch()
        return found

    def fill_and_take(self, files: Sequence[Path], *, opens: int) -> Taken:
        """Let the flood open files that often while nobody reads, then read all; lose nothing."""
        before = self._watched.losses()
        child = self._watched.run(command(self._program, files, count=opens))
        child.tell()
        made = Flooded.read(child.line())
        assert child.end() == 0
        self._rows, read, more = 0, 0, True
        began = time.thread_time_ns()
        while more:
            count, more = self.pipeline.drain()
            read += count
        took = time.thread_time_ns() - began
        assert self._watched.losses() == before, "the ring was full; give less opens"
        assert read == made.acts == opens
        return Taken(opens, self._rows, took)

    def _add(self, columns: Columns, rows: int) -> None:
        self._rows += rows
        self._sender.add(columns, rows)


class _Nowhere:
    """A link that never comes up: the spool is what is measured, not the network."""

    async def ready(self) -> None:
        await asyncio.Event().wait()

    async def publish(self, subject: str, data: bytes, message_id: MessageId | None) -> bool:
        raise TransportError("nowhere")


@contextmanager
def capacity(watched: Watched, directory: Path) -> Iterator[Capacity]:
    """Have all of it; `directory` is where the spool lies."""
    spool = Spool(directory / "spool.db", _HOST, limit_bytes=1 << 28)
    try:
        yield Capacity(watched, spool)
    finally:
        spool.close()

"""A flood of event messages through the collector's own intake and writer, as its feed does it."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from collector.config import Trail
from collector.ingest.checking import Checkers
from collector.ingest.events import EventIntake
from collector.ingest.work import Delivery, Work
from collector.trail import schema
from collector.trail.store import open_trail
from collector.trail.writer import Writer
from tests.bench import trail_shape
from tests.bench.trail_shape import Shape
from wire import chain, subjects
from wire.codec import encode
from wire.events import NAMES
from wire.ids import HostId
from wire.messages import EventBatch

HOSTS = 8
# What the feed pulls at once, and how far it goes ahead of what is written.
_AT_ONCE, _AT_ONCE_BYTES, _AHEAD = 256, 8 << 20, 2


@dataclass(frozen=True, slots=True)
class Flooded:
    """What became of a flood: every event in the trail, its chain whole, on disk."""

    events: int
    wall_s: float
    cpu_s: float  # of all processes of the collector
    bytes: int  # of the messages


def messages(events: int, each: int) -> list[Delivery]:
    """Return batches of `each` events of some hosts in turn, as their agents seal them."""
    shape = Shape(max(events * 20, 10_000_000))
    of_host = max(1, events // HOSTS // each)
    hosts: list[list[Delivery]] = []
    with trail_shape.ready() as connection:
        for host in range(HOSTS):
            rows = trail_shape.events_of(shape, host, 0, of_host * each, connection)
            table = rows.cast(schema.EVENTS.schema)
            id_ = HostId(table["host"][0].as_py())
            previous, sent = chain.NOTHING_BEFORE, []
            for number in range(of_host):
                part = table.slice(number * each, each)
                columns = {name: part[name].to_pylist() for name in NAMES}
                place = (id_, number + 1, number * each + 1, previous)
                previous = chain.link(*place, columns).chain
                batch = EventBatch(
                    host=id_,
                    sequence=place[1],
                    first=place[2],
                    count=each,
                    previous=place[3],
                    chain_version=chain.ROWS,
                    chain=previous,
                    columns=columns,
                )
                subject = subjects.event(id_)
                sent.append(Delivery(subjects.EVENTS, 0, subject, encode(batch), {}))
            hosts.append(sent)
    return [one for turn in zip(*hosts, strict=True) for one in turn]


def flooded(deliveries: Sequence[Delivery], checkers: Checkers) -> Flooded:
    """Take all of them into a new trail; raise AssertionError unless all of it is there, whole."""
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as name:
        connection = open_trail(Trail(file=str(Path(name) / "trail.duckdb")))
        writer = Writer(connection, on_fatal=_fatal)
        before, begun = _cpu_s(), time.perf_counter()
        try:
            asyncio.run(_take(writer, _runs(deliveries), EventIntake(checkers)))
            wall_s, cpu_s = time.perf_counter() - begun, _cpu_s() - before
            events, breaks = connection.execute(
                "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM chain_breaks)"
            ).fetchall()[0]
            batches = connection.execute("SELECT count(*) FROM batches").fetchall()[0][0]
        finally:
            writer.close()
            connection.close()
    assert (breaks, batches) == (0, len(deliveries))
    return Flooded(events, wall_s, cpu_s, sum(len(one.data) for one in deliveries))


def _runs(deliveries: Sequence[Delivery]) -> list[list[Delivery]]:
    runs: list[list[Delivery]] = [[]]
    size = 0
    for one in deliveries:
        if len(runs[-1]) == _AT_ONCE or size + len(one.data) > _AT_ONCE_BYTES:
            runs.append([])
            size = 0
        runs[-1].append(one)
        size += len(one.data)
    return runs


async def _take(writer: Writer, runs: Sequence[Sequence[Delivery]], intake: EventIntake) -> None:
    """Take runs while those before are written, all that wait at once."""
    taken: asyncio.Queue[Work | None] = asyncio.Queue(_AHEAD)

    async def read() -> None:
        for run in runs:
            work = await intake.take(run)
            assert not work.refused
            await taken.put(work)
        await taken.put(None)

    async def keep() -> None:
        while (work := await taken.get()) is not None:
            await writer.write(batches=work.batches)

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        group.create_task(keep())


def _cpu_s() -> float:
    """Return the processor seconds of this process and of those that check for it."""
    own = psutil.Process()
    used = [one.cpu_times() for one in (own, *own.children(recursive=True))]
    return sum(one.user + one.system for one in used)


def _fatal(why: str) -> None:
    raise RuntimeError(why)

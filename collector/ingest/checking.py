"""Checks messages of events: where there is much, in processes of their own.

Python runs in one thread of a process at a time, and to read a batch and make its chain again costs
ten times what it costs to write it.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing.connection import wait

import pyarrow as pa

from collector.ingest.work import Delivery
from collector.trail.event_rows import EventRows, events_together
from wire import subjects
from wire.codec import decode_as
from wire.errors import WireError
from wire.messages import EventBatch

log = logging.getLogger(__name__)

# So many bytes are worth the way to another process and back.
_WORTH_IT = 1 << 20
_MOST = 4

Checked = list[EventRows | WireError]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a process says: batches without their events, and the events of all of them, packed."""

    found: Checked
    rows: bytes


class Checkers:
    """Starts its processes with the first flood; where there can be none, it does without."""

    def __init__(self, processes: int | None = None) -> None:
        """`processes`: one for each processor, if nothing is said, and none where there is one."""
        there = min(_MOST, os.cpu_count() or 1)
        self._processes = processes if processes is not None else there if there > 1 else 0
        self._pool: ProcessPoolExecutor | None = None

    def close(self) -> None:
        """End the processes; what they do is not waited for."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    async def check(self, deliveries: Sequence[Delivery]) -> Checked:
        """Return a batch for each message, or what is wrong with it."""
        size = sum(len(one.data) for one in deliveries)
        if self._processes and size >= _WORTH_IT and len(deliveries) > 1:
            try:
                return await self._elsewhere(deliveries, size)
            except (BrokenProcessPool, OSError, RuntimeError) as error:
                log.warning("events are checked here: the processes for it ended (%s)", error)
                self.close()
        return await asyncio.to_thread(check, deliveries)

    async def _elsewhere(self, deliveries: Sequence[Delivery], size: int) -> Checked:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._processes, context, initializer=_begin)
        loop = asyncio.get_running_loop()
        parts = _parts(deliveries, size / self._processes)
        answers = await asyncio.gather(
            *(loop.run_in_executor(self._pool, _check_packed, part) for part in parts)
        )
        return [one for answer in answers for one in _unpacked(answer)]


def check(deliveries: Sequence[Delivery]) -> Checked:
    """Return a batch for each message, or what is wrong with it."""
    read = [_read(one) for one in deliveries]
    sound = [one for one in read if not isinstance(one, WireError)]
    made = iter(events_together(sound))
    return [one if isinstance(one, WireError) else next(made) for one in read]


def _read(delivery: Delivery) -> tuple[EventBatch, bytes] | WireError:
    try:
        batch = decode_as(delivery.data, EventBatch)
        delivery.expect(subjects.event(batch.host), batch.host)
    except WireError as error:
        return error
    return batch, delivery.data


def _parts(deliveries: Sequence[Delivery], size: float) -> list[list[Delivery]]:
    """Return the messages in their order, in parts of about that many bytes."""
    parts: list[list[Delivery]] = [[]]
    here = 0
    for one in deliveries:
        if parts[-1] and here + len(one.data) / 2 > size:
            parts.append([])
            here = 0
        parts[-1].append(one)
        here += len(one.data)
    return parts


def _begin() -> None:
    # Who interrupts the collector speaks to it, and it ends its processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A collector that is killed leaves nobody behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _check_packed(deliveries: Sequence[Delivery]) -> _Answer:
    found = check(deliveries)
    tables = [one.data for one in found if isinstance(one, EventRows)]
    if not tables:
        return _Answer(found, b"")
    whole = pa.concat_tables(tables).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, whole.schema) as stream:
        stream.write_table(whole)
    empty = whole.schema.empty_table()
    bare = [replace(one, data=empty) if isinstance(one, EventRows) else one for one in found]
    return _Answer(bare, sink.getvalue().to_pybytes())


def _unpacked(answer: _Answer) -> Checked:
    if not answer.rows:
        return answer.found
    with pa.ipc.open_stream(answer.rows) as stream:
        rows = stream.read_all()
    made: Checked = []
    start = 0
    for one in answer.found:
        if isinstance(one, EventRows):
            made.append(replace(one, data=rows.slice(start, one.count)))
            start += one.count
        else:
            made.append(one)
    return made

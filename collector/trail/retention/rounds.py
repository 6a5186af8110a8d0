"""Retention at work: once an hour a round, one file after the other, in the segments' own thread.

A file that loses some of its events is written again without them; that the new one takes its place
and that the tombstones are there is one transaction of the writer.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import pyarrow as pa

from collector.proof.tombstone import signed
from collector.trail import schema
from collector.trail.retention.choice import HOUR_NS, Contents, Cut, Reason, cut_of, files_of
from collector.trail.retention.falling import Falling, Range, contents_of
from collector.trail.retention.settings import Policy
from collector.trail.rows import Row, checked_row
from collector.trail.segments.segment import Segment
from collector.trail.segments.shelf import Shelf, Swap
from collector.trail.segments.spill import write_segment
from wire.signing import Signer

log = logging.getLogger(__name__)

ROUND_NS = HOUR_NS


@dataclass(frozen=True, slots=True)
class Figures:
    """What retention has done since the collector started, and when its last round ended.

    `events` and `bytes` that are gone by reason; `held`: events that were due in the last round
    and stay while a hold is open.
    """

    events: dict[str, int]
    bytes: dict[str, int]
    held: int
    round_ns: int


@dataclass(slots=True)
class _Round:
    """A round that runs: what there is to look at, what falls, and what came of it."""

    unseen: deque[Segment]
    cut: Cut | None = None
    todo: deque[tuple[str, Reason]] = field(default_factory=deque)
    again: bool = False  # a file was merged into another meanwhile
    events: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    tombstones: int = 0
    held: int = 0


class Retention:
    """For the thread of the segments; `figures` for any."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        shelf: Shelf,
        policy: Policy,
        signer: Signer,
        *,
        trail: str,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._connection = connection
        self._shelf = shelf
        self._policy = policy
        self._signer = signer
        self._trail = trail
        self._clock = clock
        self._contents: dict[str, Contents] = {}
        self._round: _Round | None = None
        self._next_ns = 0
        self._events: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._held = self._round_ns = 0

    def figures(self) -> Figures:
        """Return what was done so far."""
        return Figures(dict(self._events), dict(self._bytes), self._held, self._round_ns)

    def step(self, swap: Callable[[Swap, list[Row]], None]) -> bool:
        """Look at one file, or drop what falls from one; return whether there was anything to do.

        `swap` commits rows and a change of segments together. Raises what it raises.
        """
        if self._round is None:
            if self._clock() < self._next_ns:
                return False
            self._round = self._begin()
        current = self._round
        if current.unseen:
            self._look(current.unseen[0])
            current.unseen.popleft()
            return True
        if current.cut is None:
            current.cut = cut_of(self._policy, [*self._contents.values()], self._clock())
            current.todo = deque(files_of(current.cut, [*self._contents.values()]))
        if current.todo:
            self._drop(current, current.cut, *current.todo[0], swap)
            current.todo.popleft()
            return True
        self._end(current)
        return False

    def _begin(self) -> _Round:
        there = {one.file: one for one in self._shelf.all if one.missing_ns is None}
        self._contents = {file: one for file, one in self._contents.items() if file in there}
        return _Round(deque(one for file, one in there.items() if file not in self._contents))

    def _look(self, segment: Segment) -> None:
        cursor = self._connection.cursor()
        try:
            parts = contents_of(cursor, self._path(segment.file))
            self._contents[segment.file] = Contents(segment.file, segment.bytes, parts)
        except duckdb.Error as error:
            log.error("retention: %s cannot be read and stays: %s", segment.file, error)
        finally:
            cursor.close()

    def _drop(
        self,
        current: _Round,
        cut: Cut,
        file: str,
        reason: Reason,
        swap: Callable[[Swap, list[Row]], None],
    ) -> None:
        segment = next((one for one in self._shelf.all if one.file == file), None)
        if segment is None:
            # Merged into another meanwhile, or written again for the other reason just now.
            current.again = True
            return
        cursor = self._connection.cursor()
        try:
            path = self._path(file)
            with Falling(cursor, path, cut, self._contents[file], reason) as falling:
                held, ranges = falling.held(), falling.ranges()
                stays = falling.what_stays() if ranges else None
        except (duckdb.Error, OSError, pa.ArrowException) as error:
            log.error("retention: %s cannot be read and stays: %s", file, error)
            return
        finally:
            cursor.close()
        if ranges:
            self._replace(current, segment, stays, ranges, reason, swap)
        current.held += held

    def _replace(
        self,
        current: _Round,
        segment: Segment,
        stays: pa.Table | None,
        ranges: list[Range],
        reason: Reason,
        swap: Callable[[Swap, list[Row]], None],
    ) -> None:
        """Put a file without what falls in place of a segment, and the tombstones beside it."""
        added: tuple[Segment, ...] = ()
        if stays is not None:
            written = write_segment(self._shelf.directory, [stays], level=segment.level)
            # Its rows are as old as before: merging goes by that.
            added = (replace(written, made_ns=segment.made_ns),)
        rows = [self._tombstone(one, reason) for one in ranges]
        swap(Swap(added, removed=(segment.file,)), rows)
        current.events[reason] += sum(one.events for one in ranges)
        current.bytes[reason] += segment.bytes - sum(one.bytes for one in added)
        current.tombstones += len(rows)

    def _tombstone(self, one: Range, reason: Reason) -> Row:
        values = {
            "host": one.host,
            "kind": one.kind,
            "first_batch": one.first_batch,
            "last_batch": one.last_batch,
            "events": one.events,
            "first_ns": one.first_ns,
            "last_ns": one.last_ns,
            "reason": reason.value,
            "kept_ns": one.kept_ns,
            "policy": self._policy.text,
            "time_ns": self._clock(),
        }
        return checked_row(schema.TOMBSTONES, signed(self._trail, values, self._signer))

    def _end(self, current: _Round) -> None:
        self._round = None
        self._round_ns = self._clock()
        self._next_ns = self._round_ns + (0 if current.again else ROUND_NS)
        self._events += current.events
        self._bytes += current.bytes
        self._held = current.held
        say = log.info if current.tombstones else log.debug
        say(
            "retention: %d events dropped for their age and %d for size, %d bytes, under %d "
            "tombstones; %d due events stay for an open hold",
            *(current.events[reason] for reason in Reason),
            sum(current.bytes.values()),
            current.tombstones,
            current.held,
        )

    def _path(self, file: str) -> Path:
        return self._shelf.directory / file

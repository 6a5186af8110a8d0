"""A trail with as many events as wanted, in the files that a collector would have after a month.

The events are written by the collector's own code for sealed segments, the other tables into its
own file, and `views.duckdb` is made by its own publisher.
"""

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from collector.config import Trail
from collector.trail import schema
from collector.trail.analysts.publisher import ViewsPublisher
from collector.trail.segments.files import directory_of
from collector.trail.segments.retired import Retired
from collector.trail.segments.segment import Segment
from collector.trail.segments.shelf import Swap
from collector.trail.segments.spill import write_segment
from collector.trail.store import open_trail, trail_id
from collector.trail.writer import Writer
from tests.bench import trail_decisions, trail_shape
from tests.bench.trail_shape import Shape

# Where a trail is kept once it is made, to be asked again; else it is gone after the run.
KEPT_VARIABLE = "HOLDFAST_BENCH_TRAIL"
_ABOUT = "made.json"
_LEVEL = 3  # how often the rows of a segment have been merged


@dataclass(frozen=True, slots=True)
class Made:
    """A trail on disk. Seconds say what making it took, if that was now."""

    directory: Path
    shape: Shape
    events_s: float | None
    tables_s: float | None

    @property
    def file(self) -> Path:
        """The trail's own file."""
        return self.directory / "trail.duckdb"

    @property
    def views(self) -> Path:
        """The file for everybody."""
        return self.directory / "views.duckdb"


@contextmanager
def kept(shape: Shape, processes: int) -> Iterator[Made]:
    """Give a trail of that shape: the one that is kept, if it was made so and may be asked."""
    place = os.environ.get(KEPT_VARIABLE)
    if place is None:
        with tempfile.TemporaryDirectory(prefix="holdfast-test-trail-") as name:
            yield made(Path(name), shape, processes)
        return
    directory = Path(place)
    about = directory / _ABOUT
    wanted = {"events": shape.total, "schema": schema.VERSION}
    if not about.exists():
        directory.mkdir(mode=0o700, exist_ok=True)
        assert not any(directory.iterdir()), f"{directory} has no whole trail; remove it"
        new = made(directory, shape, processes)
        about.write_text(json.dumps(wanted), encoding="ascii")
        yield new
        return
    there = json.loads(about.read_text(encoding="ascii"))
    assert there.items() >= wanted.items(), f"{directory} has another trail: {there}; remove it"
    yield Made(directory, shape, None, None)


def made(directory: Path, shape: Shape, processes: int = 2) -> Made:
    """Make one; what is there already under that directory is an error."""
    settings = Trail(file=str(directory / "trail.duckdb"), memory_limit="2GB")
    connection = open_trail(settings)
    begun = time.monotonic()
    segments = _segments(directory_of(connection), shape, processes)
    writer = Writer(connection, on_fatal=_fatal)
    try:
        writer.swap(Swap(added=tuple(segments))).result()
        written = time.monotonic()
        trail_decisions.fill(connection, shape)
        connection.execute("CHECKPOINT")
        publisher = ViewsPublisher(
            connection,
            writer,
            Retired(0),
            path=directory / "views.duckdb",
            trail=trail_id(connection),
        )
        publisher.publish(frozenset())
    finally:
        writer.close()
        connection.close()
    return Made(directory, shape, written - begun, time.monotonic() - written)


@contextmanager
def opened(made: Made) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give the trail as the collector opens it, locked, with the settings that it has of itself."""
    connection = open_trail(Trail(file=str(made.file)))
    try:
        yield connection
    finally:
        connection.close()


def _segments(directory: Path, shape: Shape, processes: int) -> list[Segment]:
    numbers = range(shape.slices)
    if processes == 1 or shape.slices == 1:
        return [_segment(directory, shape, number) for number in numbers]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        given = [pool.submit(_segment, directory, shape, number) for number in numbers]
        return [one.result() for one in given]


def _segment(directory: Path, shape: Shape, number: int) -> Segment:
    os.nice(max(0, 5 - os.nice(0)))
    with trail_shape.ready() as connection:
        rows = trail_shape.events(shape, number, connection)
    return write_segment(directory, [rows], level=_LEVEL)


def _fatal(why: str) -> None:
    raise RuntimeError(why)

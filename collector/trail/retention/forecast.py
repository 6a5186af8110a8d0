"""What a policy would drop now, from the files alone: nothing is changed, no collector is asked."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from collector.errors import ProofError, TrailError
from collector.proof.verify.source import Source
from collector.trail.analysts.publisher import NAME as VIEWS_FILE
from collector.trail.retention.choice import Contents, Cut, Reason, cut_of, files_of
from collector.trail.retention.falling import Falling, contents_of
from collector.trail.retention.settings import Policy
from collector.trail.segments.files import root_beside


@dataclass(frozen=True, slots=True)
class Doomed:
    """What falls of one host and kind ("": all, where they cannot be told apart) for a reason.

    `bytes` is its part of the files that it is in; `last_ns` the time of its newest event.
    """

    host: str
    kind: str
    reason: Reason
    events: int
    bytes: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """`events` and `bytes` are of all files; `held`: due events that an open hold keeps."""

    events: int
    bytes: int
    held: int
    doomed: tuple[Doomed, ...]


def forecast(trail_file: Path, policy: Policy, now_ns: int) -> Forecast:
    """Return what would fall now; raise TrailError if the trail cannot be read."""
    try:
        source = _open(trail_file)
    except ProofError as error:
        raise TrailError(str(error)) from error
    directory = root_beside(source.file) / source.trail
    try:
        contents = list(_contents(source, directory))
        found: Counter[tuple[str, str, Reason]] = Counter()
        size: Counter[tuple[str, str, Reason]] = Counter()
        newest: dict[tuple[str, str, Reason], int] = {}
        held = 0
        cut = cut_of(policy, contents, now_ns)
        for one, reason in _doomed(cut, contents):
            path = directory / one.file
            with Falling(source.connection, path, cut, one, reason) as falling:
                held += falling.held()
                for each in falling.ranges():
                    key = each.host, each.kind, reason
                    found[key] += each.events
                    size[key] += each.events * one.bytes // one.rows
                    newest[key] = max(newest.get(key, each.last_ns), each.last_ns)
    except duckdb.Error as error:
        raise TrailError(f"{source.file}: cannot be read: {error}") from error
    finally:
        source.close()
    doomed = (Doomed(*key, found[key], size[key], newest[key]) for key in sorted(found))
    return Forecast(
        sum(one.rows for one in contents), sum(one.bytes for one in contents), held, tuple(doomed)
    )


def _open(trail_file: Path) -> Source:
    """Open the trail, or, while a collector has that, the file of views beside it."""
    views = trail_file.with_name(VIEWS_FILE)
    try:
        return Source(trail_file)
    except ProofError:
        if not views.exists():
            raise
        return Source(views)


def _contents(source: Source, directory: Path) -> Iterator[Contents]:
    for file, size in source.query("SELECT file, bytes FROM segments WHERE missing_ns IS NULL"):
        yield Contents(file, size, contents_of(source.connection, directory / file))


def _doomed(cut: Cut, contents: list[Contents]) -> Iterator[tuple[Contents, Reason]]:
    by_name = {one.file: one for one in contents}
    for file, reason in files_of(cut, contents):
        yield by_name[file], reason

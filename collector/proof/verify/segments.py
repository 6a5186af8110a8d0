"""Checks the files that questions read, and what the rows of `segments` say of them."""

import os
from collections.abc import Iterator
from pathlib import Path

import duckdb

from collector.proof.verify.report import Report, What
from collector.proof.verify.source import Source
from collector.proof.verify.statistics import Rows, check_statistics
from collector.trail import schema
from collector.trail.segments.segment import Segment

_PLACE = "segments"


def check_segments(source: Source, report: Report) -> None:
    """Say which files have questions pass over rows, or show them where they are not asked for."""
    lost = {name for name, _ in source.lost}
    for path, said in _files(source):
        if path.name in lost:
            continue
        try:
            found = check_statistics(source.unbelieving, str(path), _PLACE, report)
        except (duckdb.Error, UnicodeError) as error:
            why = str(error).partition("\n")[0]
            report.add(What.CHANGED, _PLACE, f"{path.name}: its rows cannot be read: {why}")
            continue
        if said is not None:
            for wrong in _wrong(path, said, found):
                report.add(What.CHANGED, _PLACE, f"the row of {path.name} {wrong}")


def _files(source: Source) -> Iterator[tuple[Path, Segment | None]]:
    """Yield each file, with its row of `segments` where there is that table."""
    if source.segments is None:
        yield from ((Path(file), None) for file in source.files())
        return
    names = ", ".join(f'"{name}"' for name in Segment.__dataclass_fields__)
    for row in source.query(f"SELECT {names} FROM segments ORDER BY file"):  # noqa: S608
        one = Segment(*row)
        yield source.segments / one.file, one


def _wrong(path: Path, said: Segment, found: Rows) -> Iterator[str]:
    """Yield what a row of `segments` says falsely of its file."""
    if said.missing_ns is not None:
        yield "says that it is missing, so no question reads it, and it is there"
    if list(found.columns) != schema.STORED.names[: said.columns]:
        yield f"says that columns is {said.columns}, and it has {len(found.columns)}, or others"
    facts: dict[str, int | None] = {"rows": found.count, "bytes": os.stat(path).st_size}
    if found.count:
        facts |= {"first_ns": found.first_ns, "last_ns": found.last_ns}
    for name, fact in facts.items():
        if getattr(said, name) != fact:
            yield f"says that {name} is {getattr(said, name)}, and it is {fact}"

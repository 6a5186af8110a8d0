"""The view `events`: over the files of segments, and over what is in no segment yet.

To answer a question DuckDB opens every file that it may find something in. So the files lie in
groups by time, each behind a condition that is true of all its rows: where a question is about a
stretch of time, the optimizer drops the groups that have none of it, and opens none of their files.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from collector.trail import schema
from collector.trail.segments.segment import Segment

# Each group is planned with every question, and its first file opened: more than these cost more
# than they spare.
_GROUPS = 12
_FEWEST = 4  # files of a group


def view_of(directory: Path, segments: Sequence[Segment], tables: Sequence[str]) -> str:
    """Return the SELECT over the files of segments and over tables of events."""
    there = [one for one in segments if one.missing_ns is None]
    parts = [
        _group(directory, group, columns)
        for columns in sorted({one.columns for one in there})
        for group in _groups([one for one in there if one.columns == columns])
    ]
    parts += [f"SELECT {_select()} FROM {table}" for table in tables]  # noqa: S608 - our own names
    return " UNION ALL ".join(parts)


def parquet(files: Sequence[str]) -> str:
    """Return the table function that reads them, for SQL."""
    quoted = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    return f"read_parquet([{quoted}])"


def _groups(segments: Sequence[Segment]) -> Iterator[Sequence[Segment]]:
    """Yield segments that are near each other in time."""
    near = sorted(segments, key=lambda one: (one.first_ns, one.last_ns, one.file))
    size = max(_FEWEST, -(-len(near) // _GROUPS))
    for start in range(0, len(near), size):
        yield near[start : start + size]


def _group(directory: Path, group: Sequence[Segment], columns: int) -> str:
    source = parquet([str(directory / one.file) for one in group])
    found = f"SELECT {_select(columns)} FROM {source}"  # noqa: S608 - our own names
    if not _has_when(columns):  # nothing in the file to compare with
        return found
    first_us = min(one.first_ns for one in group) // 1000
    last_us = -(-max(one.last_ns for one in group) // 1000)
    return f'{found} WHERE "when" BETWEEN make_timestamp({first_us}) AND make_timestamp({last_us})'


def _select(there: int | None = None) -> str:
    """Return the columns of the view; of a file that has only so many, the others are absent."""
    files = {one.name: place for place, one in enumerate(schema.STORED)}
    columns = [
        f'"{one.name}"'
        if there is None or files[one.name] < there
        else f'NULL::{schema.sql_type(one.type)} AS "{one.name}"'
        for one in schema.EVENTS.schema
    ]
    made = there is None or not _has_when(there)
    columns.append('make_timestamp(time_ns // 1000) AS "when"' if made else '"when"')
    return ", ".join(columns)


def _has_when(columns: int) -> bool:
    place: int = schema.STORED.get_field_index(schema.WHEN.name)
    return place < columns

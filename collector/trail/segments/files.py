"""Parquet files of events: where they are, how one is written so that it survives, how read.

A file is written aside under its own name, once, and is never changed.
"""

import datetime as dt
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from collector.trail import schema as trail_schema
from wire.ids import new_id

ROOT = "segments"
ENDING = ".parquet"
# Half a full segment: what a question reads of each file before it passes over it grows with these.
ROW_GROUP = 250_000
_TEXT = pa.dictionary(pa.int32(), pa.string())
# What counts up is stored as differences; everything else repeats, and is stored as a dictionary.
_COUNTED = ("number", "batch", "time_ns", "when", "sequence", "first", "received_ns", "opened_ns")
# Columns that are asked for by one value, of which a row group has few: so many at most, as far as
# the filter is to tell well. A path is one in a few rows.
_SOUGHT = {"kind": 32, "session": 256, "address": 1_024, "path": 16_384}


def root_beside(trail_file: Path) -> Path:
    """Return the directory of all segments beside a trail."""
    return trail_file.resolve().parent / ROOT


def directory_of(connection: duckdb.DuckDBPyConnection) -> Path:
    """Return the directory of an open trail: by its id, so that a new file finds no old segments.

    A trail that is moved away and made anew must not take the files of the other for its own.
    """
    row = connection.execute(
        "SELECT any_value(d.path), any_value(v.trail) FROM duckdb_databases() d, schema_version v"
        " WHERE d.database_name = current_database()"
    ).fetchone()
    assert row is not None
    return root_beside(Path(row[0])) / str(row[1])


def new_name(first_ns: int) -> str:
    """Return a name that no other file has; it begins with the hour of the first event (UTC)."""
    try:
        hour = dt.datetime.fromtimestamp(first_ns // 10**9, dt.UTC).strftime("%Y%m%dT%H")
    except (ValueError, OverflowError, OSError):  # a host may say any time
        hour = "00000000T00"
    return f"{hour}-{new_id()[:12]}{ENDING}"


def write(
    path: Path,
    parts: Sequence[pa.Table],
    *,
    first: Sequence[pa.Table] = (),
    sought: bool = False,
    row_group: int = ROW_GROUP,
    durable: bool = True,
) -> int:
    """Write tables of one schema into a new file; return its bytes.

    `first`: rows that come before the others, in row groups of their own. `sought`: with Bloom
    filters for what people ask for by one value. `durable`: it is on disk, with its name, before
    this returns. Nothing is left if it raises OSError or ArrowException.
    """
    schema = (*first, *parts)[0].schema
    counted = [name for name in _COUNTED if name in schema.names]
    try:
        with _new_file(path) as descriptor, os.fdopen(os.dup(descriptor), "wb") as file:
            with pq.ParquetWriter(
                file,
                schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=[_leaf(one) for one in schema if one.name not in counted],
                column_encoding=dict.fromkeys(counted, "DELTA_BINARY_PACKED"),
                bloom_filter_options=_filters() if sought else None,
            ) as writer:
                for section in filter(None, (first, parts)):
                    joined = pa.concat_tables(section).unify_dictionaries()
                    writer.write_table(joined, row_group_size=row_group)
            file.flush()
            if durable:
                os.fsync(descriptor)
            size = os.fstat(descriptor).st_size
        if durable:
            sync_directory(path.parent)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    return size


def read(path: Path) -> pa.Table:
    """Return all rows of a file, by one thread: ingest needs the other processors.

    Texts stay as the dictionaries that they are stored as, which is a third of the memory.
    """
    texts = [
        one.name
        for one in pq.read_schema(path)
        if pa.types.is_string(one.type) and one.name != "host"
    ]
    return pq.read_table(path, use_threads=False, read_dictionary=texts)


def widened(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows with the columns that came later, in which nothing is but in `when`."""
    for place, field in enumerate(schema):
        if field.name in table.schema.names:
            continue
        kind = _TEXT if pa.types.is_string(field.type) else field.type
        values = (
            pc.divide(table["time_ns"], 1000).cast(kind)
            if field.equals(trail_schema.WHEN)
            else pa.nulls(table.num_rows, kind)
        )
        table = table.add_column(place, field.name, values)
    return table


def by_host(parts: Sequence[pa.Table]) -> list[pa.Table]:
    """Return the same rows, host after host; those of one host in the order in which they came."""
    slices: dict[str, list[pa.Table]] = {}
    for part in parts:
        for host, rows in _of_each_host(part):
            slices.setdefault(host, []).append(rows)
    return [rows for host in sorted(slices) for rows in slices[host]]


def apart(parts: Sequence[pa.Table]) -> tuple[list[pa.Table], list[pa.Table]]:
    """Return the rows with which there is more than that they were observed, and the others.

    Those are few, and what is asked of everything is mostly about them.
    """
    marked, others = [], []
    for part in parts:
        action = part["action"].cast(pa.string())
        observed = pc.fill_null(pc.equal(action, "observe"), fill_value=False)
        marked.append(part.filter(pc.invert(observed)))
        others.append(part.filter(observed))
    return [one for one in marked if one.num_rows], [one for one in others if one.num_rows]


def times(parts: Sequence[pa.Table]) -> tuple[int, int]:
    """Return the first and the last time of the events."""
    ends = [pc.min_max(part["time_ns"]).as_py() for part in parts]
    return min(one["min"] for one in ends), max(one["max"] for one in ends)


def sync_directory(directory: Path) -> None:
    """See that the names in it are on disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Make it and the one above, for this user alone, and see that they are on disk."""
    if directory.is_dir():
        return
    for one in (directory.parent, directory):
        one.mkdir(mode=0o700, exist_ok=True)
        sync_directory(one.parent)


@contextmanager
def _new_file(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _filters() -> dict[str, dict[str, float]]:
    return {name: {"ndv": most, "fpp": 0.02} for name, most in _SOUGHT.items()}


def _leaf(field: pa.Field) -> str:
    """Return the name of a column's values as Parquet has it."""
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else str(field.name)


def _of_each_host(part: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yield the runs of rows of one host; nothing is copied."""
    start = 0
    for chunk in part["host"].chunks:
        runs = pc.run_end_encode(chunk)
        before = start
        for host, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            yield host, part.slice(start, before + end - start)
            start = before + end


def count(path: Path) -> int:
    """Return how many rows a file has."""
    return int(pq.read_metadata(path).num_rows)

"""Whatever events the collector writes, of what its files say nothing is called false."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import xxhash
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from collector.proof.verify.bloom import Filter
from collector.proof.verify.report import Report
from collector.proof.verify.source import unbelieving
from collector.proof.verify.statistics import check_statistics
from collector.trail import schema
from collector.trail.segments import files
from tests.unit.collector.proof.conftest import alone

_LONG = 10_000  # beyond what a writer keeps of a text in statistics
_TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", "\0", "a\0b", "\x7f\U0010ffff", "\\x00", "NULL", "é" * _LONG, "z" * _LONG]
    ),
)
_INTS = st.integers(-(2**63), 2**63 - 1)
_VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int64(): _INTS,
    pa.string(): _TEXTS,
    pa.list_(pa.string()): st.lists(_TEXTS, max_size=4),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Return events in the columns of a file, some of them without any value."""
    count = draw(st.integers(1, 12))
    columns = {}
    for field in schema.EVENTS.schema:
        values = _VALUES[field.type]
        if field.nullable:
            values = draw(st.sampled_from([st.none(), values, st.none() | values]))
        columns[field.name] = draw(st.lists(values, min_size=count, max_size=count))
    return files.widened(pa.table(columns, schema=schema.EVENTS.schema), schema.STORED)


def _said(file: Path) -> tuple[list[str], list[str]]:
    """Return what both checks find in a file."""
    report = Report()
    connection = unbelieving()
    found = check_statistics(connection, str(file), "segments", report)
    short = alone().Check.__new__(alone().Check)
    short.free, short.wrong, said = connection, 0, []
    short.say = lambda *words: said.append(": ".join(words))
    rows = short.statistics(file)
    connection.close()
    assert rows == [found.count, found.first_ns, found.last_ns, len(found.columns)]
    return [str(one) for one in report.findings], said


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    parts=st.lists(tables(), min_size=1, max_size=3),
    first=st.lists(tables(), max_size=1),
    sought=st.booleans(),
    row_group=st.sampled_from([1, 3, 1000]),
    columns=st.sampled_from([schema.STORED.get_field_index("when"), len(schema.STORED)]),
)
def test_what_files_say_of_their_rows_holds(
    tmp_path: Path,
    parts: Sequence[pa.Table],
    first: Sequence[pa.Table],
    sought: bool,
    row_group: int,
    columns: int,
) -> None:
    """Extreme numbers and times, long and odd texts, no values; new, merged, of earlier columns."""
    shutil.rmtree(tmp_path / "files", ignore_errors=True)
    (tmp_path / "files").mkdir()
    kept = schema.STORED.names[:columns]
    new, merged = tmp_path / "files" / "new.parquet", tmp_path / "files" / "merged.parquet"
    first, parts = [one.select(kept) for one in first], [one.select(kept) for one in parts]
    files.write(new, parts, first=first, sought=sought, row_group=row_group, durable=False)
    assert _said(new) == ([], [])
    again = files.widened(files.read(new), schema.STORED)
    files.write(merged, files.by_host([again, again]), sought=True, durable=False)
    assert _said(merged) == ([], [])


@settings(max_examples=300)
@given(data=st.binary(max_size=200))
@example(data=b"")
@example(data=bytes(range(32)))
def test_the_short_check_has_the_same_hash(data: bytes) -> None:
    """XXH64, which it has for itself."""
    assert alone().xxh64(data) == xxhash.xxh64_intdigest(data)


def test_a_filter_denies_what_is_not_there(tmp_path: Path) -> None:
    """What reads it is no yes to everything: of a hundred others it denies most, as DuckDB does."""
    file = tmp_path / "one.parquet"
    one: dict[str, list[object]] = {field.name: [None] for field in schema.EVENTS.schema}
    one |= {"host": ["h"], "number": [1], "batch": [1], "time_ns": [1], "kind": ["open"]}
    one |= {"path": ["/there"], "count": [1]}
    table = pa.table(one, schema=schema.EVENTS.schema)
    files.write(file, [files.widened(table, schema.STORED)], sought=True)
    with duckdb.connect() as connection:
        ((offset,),) = connection.execute(
            "SELECT bloom_filter_offset FROM parquet_metadata(?) WHERE path_in_schema = 'path'",
            [str(file)],
        ).fetchall()
        bits = alone().bits_of(file, offset)
        for value in ["/there", *(f"/other/{number}" for number in range(100))]:
            ((excluded,),) = connection.execute(
                "SELECT bloom_filter_excludes FROM parquet_bloom_probe(?, 'path', ?)",
                [str(file), value],
            ).fetchall()
            assert alone().denied(bits, value.encode()) is excluded
            assert (value.encode() not in Filter.read(file, offset, None)) is excluded

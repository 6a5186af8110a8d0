"""Checks what Parquet files say of their rows: a false word there has questions pass over some.

DuckDB skips a row group whose least and greatest value, count of NULLs or Bloom filter exclude what
is asked for, and takes all of it where they include nothing else. So each is compared with the
rows, read by the same reader without any condition.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from collector.proof.verify.bloom import Filter
from collector.proof.verify.report import Report, What

_TEXT, _TEXTS = "VARCHAR", "VARCHAR[]"
# By the type of a column: what its least and greatest value are, as Python compares them.
_VALUE = {
    "BIGINT": "{}",
    _TEXT: "{}",
    "BOOLEAN": "{}::BIGINT",
    "BLOB": "{}",
    "TIMESTAMP": "epoch_us({})",
}
_CHUNKS = """
SELECT row_group_id, row_group_num_rows, path_in_schema, num_values, stats_null_count,
       [stats_min, stats_min_value], [stats_max, stats_max_value], bloom_filter_offset,
       bloom_filter_length
FROM parquet_metadata(?) ORDER BY row_group_id, column_id
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """What is in a file, by its rows: `columns` with their types, and times of events if any."""

    count: int
    columns: dict[str, str]
    first_ns: int | None = None
    last_ns: int | None = None


@dataclass(frozen=True, slots=True)
class _Chunk:
    """What a file says of one column in one row group."""

    group: int
    rows: int
    path: str
    values: int
    nulls: int | None
    lows: list[str | None]
    highs: list[str | None]
    bloom: int | None
    bloom_length: int | None

    @property
    def column(self) -> str:
        """The name of the column."""
        return self.path.partition(", ")[0]


@dataclass(frozen=True, slots=True)
class _Found:
    """What the rows say of the same."""

    rows: int
    values: int
    nulls: int
    low: Any
    high: Any


def check_statistics(
    connection: duckdb.DuckDBPyConnection, file: str, where: str, report: Report
) -> Rows:
    """Say what a file says falsely of its rows, and return what is in it; raise duckdb.Error.

    `connection`: one that believes no statistics, see Source; `where`: what the findings are of.
    """
    name = Path(file).name
    described = connection.execute("DESCRIBE FROM read_parquet(?)", [[file]]).fetchall()
    columns = {row[0]: row[1] for row in described}
    chunks = [_Chunk(*row) for row in connection.execute(_CHUNKS, [file]).fetchall()]
    groups = _groups(chunks)
    found = dict(_found(connection, file, columns, groups))
    for chunk in chunks:
        place = f"{name}, row group {chunk.group}, column {chunk.column}"
        there = found.get((chunk.group, chunk.column), _Found(0, 0, 0, None, None))
        for wrong in _wrong(connection, chunk, columns.get(chunk.column, ""), there):
            report.add(What.CHANGED, where, f"{place}: {wrong}")
        if chunk.bloom is not None:
            bloomed = _bloomed(connection, file, chunk, columns, groups)
            if bloomed:
                report.add(What.CHANGED, where, f"{place}: {bloomed}")
    first = next(iter(columns), "")
    count = sum(one.rows for (_, column), one in found.items() if column == first)
    ((said,),) = connection.execute(
        "SELECT num_rows FROM parquet_file_metadata(?)", [file]
    ).fetchall()
    if said != count:
        report.add(What.CHANGED, where, f"{name}: it says {said} rows, and has {count}")
    if any(_page_indexes(file)):
        report.add(What.CHANGED, where, f"{name}: it has page indexes, which no collector writes")
    times = [one for (_, column), one in found.items() if column == "time_ns" and one.rows]
    first_ns = min((one.low for one in times if one.low is not None), default=None)
    last_ns = max((one.high for one in times if one.high is not None), default=None)
    return Rows(count, columns, first_ns, last_ns)


def _groups(chunks: Sequence[_Chunk]) -> str:
    """Return the SQL of the number of a row's row group."""
    rows = {one.group: one.rows for one in chunks}
    end, whens = 0, []
    for group, count in sorted(rows.items()):
        end += count
        whens.append(f"WHEN file_row_number < {end} THEN {group}")
    return f"CASE {' '.join(whens)} ELSE -1 END" if whens else "-1"


def _found(
    connection: duckdb.DuckDBPyConnection, file: str, columns: dict[str, str], groups: str
) -> Iterator[tuple[tuple[int, str], _Found]]:
    """Yield what the rows of each row group say of each column."""
    parts = [f"{groups} AS row_group", "count(*)"]
    for column, kind in columns.items():
        parts += _aggregates('"' + column.replace('"', '""') + '"', kind)
    sql = f"SELECT {', '.join(parts)} FROM read_parquet(?, file_row_number = true) GROUP BY 1"  # noqa: S608
    for group, rows, *values in connection.execute(sql, [[file]]).fetchall():
        for place, column in enumerate(columns):
            yield (group, column), _Found(rows, *values[place * 4 : place * 4 + 4])


def _aggregates(column: str, kind: str) -> list[str]:
    """Return the SQL of how many values there are, how many NULLs, the least and the greatest."""
    if kind == _TEXTS:  # Parquet counts an absent and an empty list as one value that is NULL
        return [
            f"sum(greatest(coalesce(len({column}), 0), 1))",
            f"sum(coalesce(nullif(len({column}), 0) - list_count({column}), 1))",
            f"min(list_min({column}))",
            f"max(list_max({column}))",
        ]
    value = _VALUE.get(kind, "NULL")
    return [
        "count(*)",
        f"count(*) - count({column})",
        value.format(f"min({column})"),
        value.format(f"max({column})"),
    ]


def _wrong(
    connection: duckdb.DuckDBPyConnection, chunk: _Chunk, kind: str, found: _Found
) -> Iterator[str]:
    """Yield what is said falsely of a column in a row group."""
    if kind not in _VALUE and kind != _TEXTS:
        yield f"no collector writes a column of type {kind or 'unknown'}"
        return
    if (chunk.rows, chunk.values) != (found.rows, found.values):
        yield (
            f"it says {chunk.rows} rows and {chunk.values} values, and has {found.rows} and "
            f"{found.values}"
        )
    if chunk.nulls is not None and chunk.nulls != found.nulls:
        yield f"its statistics say {chunk.nulls} NULLs, and it has {found.nulls}"
    if found.low is None:
        return
    low, high = _comparable(found.low), _comparable(found.high)
    for word, said in (("least", chunk.lows), ("greatest", chunk.highs)):
        for text in said:
            if text is None:
                continue
            value = _said(connection, text, kind)
            if value is None or (value > low if word == "least" else value < high):
                yield f"its statistics say that {text[:80]!r} is the {word} value, and it is not"
                break


def _comparable(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _said(connection: duckdb.DuckDBPyConnection, text: str, kind: str) -> Any:
    """Return a value of the statistics, to be compared with those of rows; None: it is none."""
    if kind in (_TEXT, _TEXTS):
        return text.encode()
    sql = f"SELECT {_VALUE[kind].format(f'TRY_CAST(? AS {kind})')}"
    ((value,),) = connection.execute(sql, [text]).fetchall()
    return value


def _bloomed(
    connection: duckdb.DuckDBPyConnection,
    file: str,
    chunk: _Chunk,
    columns: dict[str, str],
    groups: str,
) -> str:
    """Return what is wrong with a Bloom filter: to a value that is there it must not say no."""
    assert chunk.bloom is not None
    if chunk.path not in columns or columns[chunk.path] != _TEXT:
        return "it has a Bloom filter, which collectors write for texts only"
    try:
        bloom = Filter.read(Path(file), chunk.bloom, chunk.bloom_length)
    except (OSError, ValueError) as error:
        return f"its Bloom filter cannot be read: {error}"
    column = '"' + chunk.path.replace('"', '""') + '"'
    sql = (
        f"SELECT DISTINCT {column} FROM (SELECT {column}, {groups} AS row_group FROM "  # noqa: S608
        f"read_parquet(?, file_row_number = true)) WHERE row_group = ? AND {column} IS NOT NULL"
    )
    cursor = connection.execute(sql, [[file], chunk.group])
    while values := cursor.fetchmany(10_000):
        for (value,) in values:
            if value.encode() not in bloom:
                return f"its Bloom filter says that there is no {value[:80]!r}, and there is"
    return ""


def _page_indexes(file: str) -> Iterator[bool]:
    """Yield for each column of each row group whether there is more of it in other places."""
    try:
        metadata = pq.read_metadata(file)
    except (OSError, pa.ArrowException):
        yield True  # readers do not agree on it
        return
    for group in range(metadata.num_row_groups):
        for place in range(metadata.num_columns):
            column = metadata.row_group(group).column(place)
            yield column.has_offset_index or column.has_column_index

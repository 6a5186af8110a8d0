"""What files say of their rows, and `segments` of the files, is checked: both checks find a lie.

Each forgery is a real one: by it a question passes over rows that are there, or shows one that was
never sealed, which is asserted too.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from collector.config import Trail
from collector.trail.analysts.bundle import make_bundle
from collector.trail.analysts.publisher import ViewsPublisher
from collector.trail.segments import files
from collector.trail.segments.retired import Retired
from collector.trail.store import open_trail, trail_id
from collector.trail.writer import Writer
from tests.support import forged_index as forged
from tests.support.proven_trail import HOSTS, change, segments_of
from tests.unit.collector.proof.conftest import Copy

HOST = HOSTS[1]
PLANTED = "/planted"
UNBELIEVING = "SET disabled_optimizers = 'filter_pushdown,statistics_propagation'"


def _both(found: tuple[list[str], list[str]], what: str, *words: str) -> None:
    for said in found:
        assert any(one.startswith(what) and all(word in one for word in words) for one in said), (
            f"{what} ... {words} is not in {said}"
        )


def _ask(file: Path, condition: str, setting: str = "SELECT 1") -> int:
    """Return how many rows of a file a question finds."""
    with duckdb.connect() as connection:
        connection.execute(setting)
        found = connection.execute(f"SELECT path, kind FROM '{file}' WHERE {condition}").fetchall()
        return len(found)


def _newest(trail: Copy) -> Path:
    """Return the last of the files, which has paths."""
    return segments_of(trail.directory)[-1]


def _written(
    trail: Copy,
    change_: Callable[[pa.Table], list[pa.Table]],
    *,
    sought: bool,
    file: Path | None = None,
) -> Path:
    """Write a file anew as the collector does, its parts as row groups of their own."""
    file = file or _newest(trail)
    rows = pq.read_table(file)
    first, *others = change_(rows)
    file.unlink()
    size = files.write(file, [first], first=others, sought=sought)
    count = first.num_rows + sum(one.num_rows for one in others)
    _fits(trail, file, count, size)
    return file


def _fits(trail: Copy, file: Path, count: int, size: int) -> None:
    """Have `segments` say of a file how large it is."""
    sql = f"UPDATE segments SET rows = {count}, bytes = {size} WHERE file = '{file.name}'"
    assert change(trail.directory, sql) == 1


def _forged(trail: Copy, file: Path) -> None:
    """Have `segments` fit a file whose footer was forged."""
    sql = f"UPDATE segments SET bytes = {file.stat().st_size} WHERE file = '{file.name}'"
    assert change(trail.directory, sql) == 1


HIDDEN: dict[str, tuple[str, str, str | int, str | int]] = {
    "a path": ("path", "path LIKE '/srv/%'", "x", "y"),
    "a kind": ("kind", "kind IN ('exec', 'open', 'gap')", "x", "y"),
    "a time": ("when", "\"when\" > TIMESTAMP '2020-01-01'", 1, 2),
    "nanoseconds": ("time_ns", "time_ns > 1000", 1, 2),
    "a number that is negative": ("pid", "pid > 0", -(2**63), -1),
    "a count": ("count", "count <= 3", 2**62, 2**63 - 1),
    "a host": ("host", f"host = '{HOST}'", "x", "y"),
}


@pytest.mark.parametrize("case", HIDDEN, ids=lambda one: str(one).replace(" ", "_"))
def test_a_false_range_that_hides_rows_is_named(trail: Copy, case: str) -> None:
    """The rows are there, but whoever asks for them by a value is told that there are none."""
    column, question, low, high = HIDDEN[case]
    file = _newest(trail)
    there = _ask(file, question)
    assert there
    forged.forge_range(file, column, low, high)
    _forged(trail, file)
    assert _ask(file, question) == 0
    assert _ask(file, question, UNBELIEVING) == there  # what docs/trail-proof.md advises
    _both(trail.wrong(), "changed: segments", file.name, "row group 0", f"column {column}")


def test_one_end_of_a_range_is_enough(trail: Copy) -> None:
    """The least value alone; and the same of the greatest."""
    for name in ("min_value", "max_value"):
        file = _newest(trail)
        whole = file.read_bytes()
        with duckdb.connect() as connection:
            ((path,),) = connection.execute(f"SELECT min(path) FROM '{file}'").fetchall()
        other = "/t" if name == "min_value" else "/a"
        forged.forge_statistics(file, "path", group=0, **{name: forged.text(other)})
        _forged(trail, file)
        with duckdb.connect() as connection:
            asked = f"SELECT pid FROM '{file}' WHERE path = ?"
            assert connection.execute(asked, [path]).fetchall() == []
        _both(trail.wrong(), "changed: segments", file.name, "column path")
        file.write_bytes(whole)


@pytest.mark.parametrize(
    ("column", "value"), [("path", b"\xff\xfe"), ("pid", b"\x01"), ("when", b"")]
)
def test_an_end_of_a_range_that_is_no_value_is_named(
    trail: Copy, column: str, value: bytes
) -> None:
    """No text, or too short for a number; neither check ends there."""
    file = _newest(trail)
    forged.forge_statistics(
        file, column, min_value=(forged.BINARY, value), old_min=(forged.BINARY, value)
    )
    _forged(trail, file)
    _both(trail.wrong(), "changed: segments", file.name)


def test_a_range_in_the_words_of_old_files_is_named(trail: Copy) -> None:
    """Where there is none in today's words, DuckDB goes by those."""
    file = _newest(trail)
    forged.forge_statistics(
        file,
        "pid",
        min_value=None,
        max_value=None,
        old_min=forged.number(-5),
        old_max=forged.number(-1),
    )
    _forged(trail, file)
    assert _ask(file, "pid > 0") == 0
    _both(trail.wrong(), "changed: segments", file.name, "column pid")


@pytest.mark.parametrize("question", ["path IS NULL", "path IS NOT NULL"])
def test_a_false_count_of_nulls_is_named(trail: Copy, question: str) -> None:
    """None where there are some hides those, and nothing but NULLs hides all others."""
    file = _newest(trail)
    nulls = 0 if question == "path IS NULL" else files.count(file)
    assert _ask(file, question)
    forged.forge_statistics(
        file, "path", null_count=forged.integer(nulls), min_value=None, max_value=None
    )
    _forged(trail, file)
    assert _ask(file, question) == 0
    _both(trail.wrong(), "changed: segments", file.name, "column path")


def test_a_false_count_of_rows_is_named(trail: Copy) -> None:
    """Many readers answer from there how many there are."""
    file = _newest(trail)

    def fewer(footer: forged.Struct) -> None:
        footer[forged.NUM_ROWS_OF_FILE] = forged.integer(3)

    forged.forge_footer(file, fewer)
    _forged(trail, file)
    assert files.count(file) == 3
    _both(trail.wrong(), "changed: segments", file.name, "3")


@pytest.mark.parametrize("column", ["kind", "path"])
def test_a_bloom_filter_that_denies_what_is_there_is_named(trail: Copy, column: str) -> None:
    """As large segments have them; the ranges of their values are as they were."""
    file = _written(trail, lambda rows: [rows], sought=True)
    assert trail.wrong() == ([], [])
    with duckdb.connect() as connection:
        asked = (
            f"SELECT count(*) FROM '{file}' WHERE {column} = (SELECT min({column}) FROM '{file}')"
        )
        values = connection.execute(f"SELECT DISTINCT {column} FROM '{file}'").fetchall()
    value = next(one for (one,) in values if one)
    forged.forge_bloom_filter(file, column)
    with duckdb.connect() as connection:
        asked = f"SELECT pid FROM '{file}' WHERE {column} = ?"
        assert connection.execute(asked, [value]).fetchall() == []
    _both(trail.wrong(), "changed: segments", file.name, f"column {column}", "Bloom")


def _planted(rows: pa.Table) -> pa.Table:
    """Return a row that no host has sealed, with the host and batch of one that is there."""
    one = rows.slice(0, 1)
    place = one.schema.get_field_index("path")
    return one.set_column(place, one.schema.field("path"), pa.array([PLANTED]))


@pytest.mark.parametrize("column", ["host", "batch"])
def test_an_inserted_row_that_statistics_keep_from_the_check_is_named(
    trail: Copy, column: str
) -> None:
    """Whoever asks for its path sees it; by its host and batch it is not to be found."""
    file = _written(trail, lambda rows: [rows, _planted(rows)], sought=False)
    ends: tuple[str, str] | tuple[int, int] = ("x", "y") if column == "host" else (2**40, 2**41)
    with duckdb.connect() as connection:
        groups = connection.execute(
            "SELECT row_group_id FROM parquet_metadata(?) WHERE stats_min_value = ?",
            [str(file), PLANTED],
        ).fetchall()
    value = forged.text if column == "host" else forged.number
    forged.forge_statistics(
        file,
        column,
        group=groups[0][0],
        min_value=value(ends[0]),  # type: ignore[arg-type]
        max_value=value(ends[1]),  # type: ignore[arg-type]
    )
    _forged(trail, file)
    assert _ask(file, f"path = '{PLANTED}'") == 1
    found = trail.wrong()
    _both(found, "inserted: events")
    _both(found, "changed: segments", file.name, f"column {column}")


def test_an_inserted_file_that_statistics_keep_from_the_check_is_named(trail: Copy) -> None:
    """With a row of `segments` that fits it."""
    like = _newest(trail)
    file = like.with_name("20260101T00-aaaaaaaaaaaa.parquet")
    files.write(file, [_planted(pq.read_table(like))])
    forged.forge_range(file, "batch", 2**40, 2**41)
    assert _ask(file, f"path = '{PLANTED}'") == 1
    with duckdb.connect(str(trail.directory / "trail.duckdb")) as connection:
        connection.execute(
            f"INSERT INTO segments SELECT * REPLACE ('{file.name}' AS file, 1 AS rows, "
            f"{file.stat().st_size} AS bytes, (SELECT min(time_ns) FROM '{file}') AS first_ns, "
            f"(SELECT max(time_ns) FROM '{file}') AS last_ns) FROM segments "
            f"WHERE file = '{like.name}'"
        )
    found = trail.wrong()
    _both(found, "inserted: events")
    _both(found, "changed: segments", file.name, "column batch")


@pytest.mark.parametrize("column", ["host", "batch", "number", "kind"])
def test_an_inserted_row_of_no_host_or_batch_is_named(trail: Copy, column: str) -> None:
    """Of no batch that could be looked for; and those without a number or a kind."""

    def changed(rows: pa.Table) -> list[pa.Table]:
        one = _planted(rows)
        place = one.schema.get_field_index(column)
        field = one.schema.field(column).with_nullable(nullable=True)
        rows = rows.cast(rows.schema.set(place, field))
        return [pa.concat_tables([rows, one.set_column(place, field, pa.nulls(1, field.type))])]

    file = _written(trail, changed, sought=False)
    assert _ask(file, f"path = '{PLANTED}'") == 1
    _both(trail.wrong(), "inserted: events")


def test_an_inserted_row_in_a_batch_of_an_earlier_agent_is_named(trail: Copy) -> None:
    """Its rows are no leaves, but how many there are is known, and that is no fork."""

    def changed(rows: pa.Table) -> list[pa.Table]:
        one = _planted(rows.filter(pc.equal(rows["batch"], 1)))
        place = one.schema.get_field_index("number")
        other = pa.array([10**6], one.schema.field("number").type)
        return [pa.concat_tables([rows, one.set_column(place, one.schema.field(place), other)])]

    (file, *_) = [one for one in segments_of(trail.directory) if _ask(one, "batch = 1")]
    _written(trail, changed, sought=False, file=file)
    _both(trail.wrong(), "inserted: events of")


LISTED = {
    "columns": ("columns = 5", "columns"),
    "the first time": ("first_ns = first_ns + 5000", "first_ns"),
    "the last time": ("last_ns = last_ns - 5000", "last_ns"),
    "rows": ("rows = 1", "rows"),
    "bytes": ("bytes = 1", "bytes"),
    "missing": ("missing_ns = 1", "missing"),
}


@pytest.mark.parametrize("case", LISTED, ids=lambda one: str(one).replace(" ", "_"))
def test_a_row_of_segments_that_does_not_fit_its_file_is_named(trail: Copy, case: str) -> None:
    """The view of all events goes by it."""
    sql, word = LISTED[case]
    file = _newest(trail)
    assert change(trail.directory, f"UPDATE segments SET {sql} WHERE file = '{file.name}'") == 1
    _both(trail.wrong(), "changed: segments", file.name, word)


def _published(trail: Copy) -> None:
    """Leave what analysts read, and put the trail's own file away, as if a collector had it."""
    own = trail.directory / "trail.duckdb"
    connection = open_trail(Trail(file=str(own)))
    writer = Writer(connection, on_fatal=lambda _: None)
    publisher = ViewsPublisher(
        connection,
        writer,
        Retired(0),
        path=trail.directory / "views.duckdb",
        trail=trail_id(connection),
    )
    publisher.publish(frozenset())
    writer.close()
    connection.close()
    own.unlink()


def test_the_files_of_a_trail_that_is_in_use_are_checked(trail: Copy) -> None:
    """All that views.duckdb reads: segments, the tail, and those of the other tables."""
    _published(trail)
    assert trail.wrong() == ([], [])
    (votes,) = sorted(trail.directory.glob("exports/*/votes-*.parquet"))[:1]
    forged.forge_range(votes, "vote", "x", "y")
    tail = next(iter(trail.directory.glob("exports/*/events-tail-*.parquet")))
    forged.forge_range(tail, "path", "x", "y")
    segment = _newest(trail)
    forged.forge_range(segment, "path", "x", "y")
    found = trail.wrong()
    _both(found, "changed: segments", votes.name, "column vote")
    _both(found, "changed: segments", tail.name, "column path")
    _both(found, "changed: segments", segment.name, "column path")


def test_the_files_of_a_bundle_are_checked(
    trail: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From within it, as its paths are."""
    _published(trail)
    make_bundle(trail.directory / "views.duckdb", tmp_path / "bundle")
    shutil.rmtree(trail.directory)
    bundle = Copy(tmp_path / "bundle", trail.anchor)
    monkeypatch.chdir(bundle.directory)
    assert bundle.wrong() == ([], [])
    like = next(one for one in bundle.directory.glob("data/*.parquet") if one.name[0] == "2")
    forged.forge_range(like, "path", "x", "y")
    _both(bundle.wrong(), "changed: segments", like.name, "column path")

"""Questions in SQL: one SELECT, and no way to anything but the rows of the trail."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from starlette.requests import Request

from collector.api import errors
from collector.config import Trail
from collector.errors import Refusal, SqlError, TrailError
from collector.trail.question import (
    FORBIDDEN_FUNCTIONS,
    RELATIONS,
    SLOW_FUNCTIONS,
    TABLE_FUNCTIONS,
)
from collector.trail.sql import SqlRunner
from collector.trail.store import open_trail


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[duckdb.DuckDBPyConnection]:
    """Give an open trail."""
    opened = open_trail(Trail(file=str(tmp_path / "trail.duckdb")))
    yield opened
    opened.close()


@pytest.fixture
async def sql(connection: duckdb.DuckDBPyConnection) -> AsyncIterator[SqlRunner]:
    """Give a runner."""
    runner = SqlRunner(connection, seconds=30, workers=2)
    yield runner
    runner.close()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1",
        "select count(*) from holds -- a remark",
        "WITH x AS (SELECT 1 AS a) SELECT a FROM x;",
        "FROM holds",
        "/* é */ -- x\n select(1)",
        "(SELECT 1)",
        "VALUES (1, 2)",
        "SELECT * FROM who_allowed",
        "DESCRIBE holds",
        "SHOW TABLES",
        "SELECT * FROM range(3)",
        "SELECT unnest([1, 2])",
        "WITH RECURSIVE r AS (SELECT 1 i UNION ALL SELECT i + 1 FROM r WHERE i < 3) FROM r",
        "SELECT column_name FROM duckdb_columns() LIMIT 1",
        "SELECT * FROM (SELECT 1) UNION ALL SELECT 2 ORDER BY 1 LIMIT 1",
        "SELECT act->>'cwd' FROM holds",
        "SELECT * FROM main.Holds",
        "SHOW ALL TABLES",
        "SUMMARIZE holds",
        "UNPIVOT (SELECT 1 a, 2 b) ON a, b",
        "FROM (PIVOT holds ON kind IN ('exec') USING count(*))",
        "SELECT table_name FROM information_schema.tables",
        "SELECT column_name, data_type FROM information_schema.columns",
        "WITH a AS (SELECT 1 x), B AS (FROM a) SELECT * FROM b JOIN a USING (x)",
        "SELECT 1 FROM who_allowed WHERE what LIKE '%pg_dump%' OR what ILIKE '%a%b%'",
        "SELECT 1 FROM holds WHERE path LIKE '/etc/%.d/%a%b%c%' OR path SIMILAR TO '/etc/.*'",
    ],
)
async def test_plain_questions_are_answered(sql: SqlRunner, query: str) -> None:
    """Whatever only reads the trail goes through."""
    result = await sql.run(query, 10)
    assert result.columns


@pytest.mark.parametrize(
    "query",
    [
        "",
        ";",
        "-- nothing",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE holds",
        "SELEC 1",
        "INSERT INTO schema_version VALUES (1, 2, 'x')",
        "UPDATE schema_version SET version = 0",
        "DELETE FROM holds",
        "TRUNCATE holds",
        "WITH x AS (INSERT INTO schema_version VALUES (1, 2, 'x') RETURNING *) SELECT * FROM x",
        "WITH x AS (DELETE FROM schema_version RETURNING *) SELECT * FROM x",
        "CREATE TABLE t (a INT)",
        "CREATE TEMP TABLE t AS SELECT 1",
        "CREATE OR REPLACE VIEW who_allowed AS SELECT 1",
        "CREATE MACRO f() AS 1",
        "DROP VIEW who_allowed",
        "ALTER TABLE holds ADD COLUMN x INT",
        "COPY holds TO '{dir}/copy.csv'",
        "COPY (SELECT 1) TO '{dir}/copy.csv'",
        "COPY holds FROM '/etc/passwd'",
        "EXPORT DATABASE '{dir}/export'",
        "ATTACH '{dir}/x.duckdb' AS x",
        "ATTACH ':memory:' AS x",
        "DETACH trail",
        "USE memory",
        "PRAGMA database_list",
        "PRAGMA memory_limit = '100GB'",
        "SET memory_limit = '100GB'",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CALL pragma_version()",
        "CALL enable_logging()",
        "CHECKPOINT",
        "FORCE CHECKPOINT",
        "VACUUM",
        "ANALYZE",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "EXPLAIN ANALYZE SELECT 1",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "IMPORT DATABASE '/tmp'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_csv_auto('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM read_json('/etc/passwd')",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM 'https://example.net/x.csv'",
        'SELECT * FROM "/etc/passwd"',
        "SELECT (SELECT content FROM read_text('/etc/passwd'))",
        "SELECT 1 WHERE EXISTS (SELECT * FROM READ_TEXT('/etc/passwd'))",
        "WITH x AS (SELECT * FROM main.read_text('/etc/passwd')) SELECT * FROM x",
        "SELECT * FROM holds, LATERAL (SELECT * FROM read_text('/etc/passwd'))",
        "SELECT getenv('HOME')",
        "SELECT * FROM query('SELECT 1')",
        "SELECT * FROM query_table('holds')",
        "SELECT * FROM arrow_scan(0::UBIGINT, 0::UBIGINT, 0::UBIGINT)",
        "SELECT * FROM pandas_scan(0)",
        "SELECT * FROM python_map_function(0)",
        "SELECT * FROM seq_scan()",
        "SELECT * FROM enable_logging('HTTP')",
        "SELECT * FROM enable_logging(storage = 'file', storage_path = '{dir}/log')",
        "SELECT * FROM force_checkpoint()",
        "SELECT * FROM checkpoint()",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM duckdb_databases()",
        "SELECT * FROM duckdb_logs()",
        "SELECT * FROM json_execute_serialized_sql('{}')",
        "SELECT write_log('x')",
        "SELECT sleep_ms(1000)",
        "SELECT nextval('x')",
        "SELECT current_setting('temp_directory')",
        "SELECT " + "abs(" * 3000 + "1" + ")" * 3000,
        "/* a remark */ PRAGMA version",
        "SELECT '" + "x" * 20_000 + "'",
        "SELECT holdfast_secret FROM nowhere",
        "SELECT * FROM duckdb_databases",
        "SELECT * FROM main.duckdb_databases",
        "SELECT * FROM system.main.duckdb_databases",
        "SELECT path FROM pragma_database_list",
        "SELECT * FROM pg_catalog.pg_settings",
        "SELECT * FROM PG_SETTINGS",
        'SELECT * FROM "pg_catalog"."pg_settings"',
        "SELECT * FROM duckdb_settings",
        "SELECT * FROM duckdb_logs",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM information_schema.schemata",
        "FROM (PIVOT duckdb_databases ON path IN ('x') USING count(*))",
        "PIVOT duckdb_databases ON path USING count(*)",
        "SUMMARIZE pg_settings",
        "DESCRIBE FROM duckdb_databases",
        "SHOW DATABASES",
        "SELECT (SELECT any_value(path) FROM duckdb_databases)",
        "SELECT 1 WHERE 'x' IN (SELECT setting FROM pg_settings)",
        "WITH a AS (FROM pg_settings), pg_settings AS (SELECT 1) FROM a",
        "SELECT (WITH duckdb_databases AS (SELECT 1) FROM duckdb_databases) FROM duckdb_databases",
        "WITH x AS (SELECT 1) SELECT * FROM pg_catalog.x",
        "SELECT pg_sleep(1)",
        "SELECT levenshtein(a, b) FROM (SELECT 'a' AS a, 'b' AS b)",
        "SELECT Main.\"LEVENSHTEIN\"('a', 'b')",
        "SELECT 'a'.editdist3('b')",
        "SELECT damerau_levenshtein('a', 'b')",
        "SELECT hamming('a', 'b')",
        "SELECT mismatches('a', 'b')",
        "SELECT jaccard('a', 'b')",
        "SELECT jaro_similarity('a', 'b')",
        "SELECT jaro_winkler_similarity('a', 'b')",
        "SELECT list_transform(['a'], lambda x: levenshtein(x, 'b'))",
        "SELECT list_reduce(['a'], lambda x, y: list_filter([x], lambda z: hamming(z, y) = 0)[1])",
        "SELECT 1 ORDER BY jaccard('a', 'b')",
        "SELECT sum(levenshtein('a', 'b')) OVER () FROM holds",
        "SELECT 'a' GLOB '*a*'",
        "SELECT 'a' LIKE '%a%a%a%_b'",
        "SELECT 'a' NOT ILIKE '%a%a%a%b'",
        "SELECT 'a' LIKE '%a%a%a%b' ESCAPE '!'",
        "SELECT 'a' LIKE repeat('%a', 9)",
        "SELECT list_transform(['%'], lambda x: 'a' LIKE x)",
    ],
)
async def test_anything_else_is_refused(
    sql: SqlRunner, connection: duckdb.DuckDBPyConnection, tmp_path: Path, query: str
) -> None:
    """It neither writes nor reads outside the trail nor changes the server, and says why not."""
    outside = tmp_path / "outside"
    outside.mkdir()
    tables = "SELECT sql FROM duckdb_tables() UNION ALL SELECT sql FROM duckdb_views()"
    before = sorted(connection.cursor().execute(tables).fetchall())
    version = connection.cursor().execute("FROM schema_version").fetchall()
    with pytest.raises(SqlError) as caught:
        await sql.run(query.replace("{dir}", str(outside)), 10)
    assert str(caught.value)
    assert "Stack Trace" not in str(caught.value)
    assert sorted(connection.cursor().execute(tables).fetchall()) == before
    assert connection.cursor().execute("FROM schema_version").fetchall() == version
    assert os.listdir(outside) == []
    assert (await sql.run("SELECT 1", 1)).rows == [[1]], "the trail still answers"


async def test_the_python_around_it_cannot_be_reached(sql: SqlRunner) -> None:
    """A name that is a variable of this process is no table."""
    for name in ("cursor", "rows", "self"):
        with pytest.raises(SqlError, match="does not exist here"):
            await sql.run(f'SELECT * FROM "{name}"', 10)  # noqa: S608 - names from above


async def test_time_rows_and_bytes_are_limited(connection: duckdb.DuckDBPyConnection) -> None:
    """A question too big is stopped, not its asker's neighbours."""
    impatient = SqlRunner(connection, seconds=0.2, workers=1)
    with pytest.raises(SqlError, match=r"longer than 0\.2 seconds"):
        await impatient.run("SELECT count(*) FROM range(10000000) a, range(10000000) b", 10)
    impatient.close()
    # These end by themselves, however busy the machine is.
    runner = SqlRunner(connection, seconds=600, workers=1)
    rows = await runner.run("SELECT * FROM range(100)", 7)
    assert (len(rows.rows), rows.truncated) == (7, True)
    exact = await runner.run("SELECT * FROM range(7)", 7)
    assert (len(exact.rows), exact.truncated) == (7, False)
    wide = await runner.run("SELECT repeat('x', 3000000) FROM range(5)", 100)
    assert (len(wide.rows), wide.truncated) == (2, True)
    runner.close()


async def test_what_is_not_the_query_s_fault_is_not_told_as_if_it_were(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """DuckDB's words about itself go to the log, not to whoever asked."""
    runner = SqlRunner(_Failing(connection), seconds=30, workers=1)  # type: ignore[arg-type]
    with pytest.raises(TrailError):
        await runner.run("SELECT 1", 1)
    runner.close()
    answer = await errors._collector_error(
        Request({"type": "http"}), TrailError("/var/lib/holdfast-collector/trail.duckdb: disk")
    )
    assert answer.status_code == 503
    assert b"/var/lib" not in bytes(answer.body)


class _Failing:
    """A connection whose file has become unreadable."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def cursor(self) -> "_Failing":
        """Return one that fails like the rest."""
        return _Failing(self._connection.cursor())

    def extract_statements(self, sql: str) -> object:
        """Parsing still works."""
        return self._connection.extract_statements(sql)

    def execute(self, *_: object) -> None:
        """Reading does not."""
        raise duckdb.IOException("Could not read from /var/lib/holdfast-collector/trail.duckdb")

    def close(self) -> None:
        """End it."""
        self._connection.close()


async def test_a_query_ends_with_whoever_asked(connection: duckdb.DuckDBPyConnection) -> None:
    """Long before its time, and its thread serves the next one; also one that has not begun."""
    runner = SqlRunner(connection, seconds=200, workers=1)
    slow = "SELECT count(*) FROM range(10000000) a, range(10000000) b"
    tasks = [asyncio.create_task(runner.run(slow, 1)) for _ in range(3)]
    await asyncio.sleep(0)
    begun = time.monotonic()
    for task in tasks:
        task.cancel()
    assert (await runner.run("SELECT 1", 1)).rows == [[1]]
    assert time.monotonic() - begun < 100
    runner.close()


async def test_too_many_at_once_are_turned_away(connection: duckdb.DuckDBPyConnection) -> None:
    """Queries wait in a short line; past it the answer is to try again."""
    runner = SqlRunner(connection, seconds=2, workers=1)
    slow = "SELECT count(*) FROM range(10000000) a, range(10000000) b"
    tasks = [asyncio.create_task(runner.run(slow, 1)) for _ in range(9)]
    await asyncio.sleep(0)
    with pytest.raises(Refusal) as caught:
        await runner.run("SELECT 1", 1)
    assert (caught.value.status, caught.value.code) == (503, "busy")
    runner.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, SqlError | asyncio.CancelledError) for one in results)


async def test_values_come_as_json_can_carry_them(sql: SqlRunner) -> None:
    """Times as ISO 8601, bytes as hex, lists as lists, what JSON lacks as text."""
    result = await sql.run(
        "SELECT make_timestamp(0), DATE '2026-01-02', '\\xAB'::BLOB, [1, NULL], {'a': 1},"
        " 'nan'::DOUBLE, 1.50::DECIMAL(5, 2), true, NULL, 170141183460469231731687303715884105727,"
        " 1.5::DOUBLE, uuid '00000000-0000-0000-0000-000000000001', INTERVAL 1 DAY",
        1,
    )
    assert result.rows == [
        [
            "1970-01-01T00:00:00",
            "2026-01-02",
            "ab",
            [1, None],
            {"a": 1},
            "nan",
            "1.50",
            True,
            None,
            170141183460469231731687303715884105727,
            1.5,
            "00000000-0000-0000-0000-000000000001",
            "1 day, 0:00:00",
        ]
    ]


async def test_no_allowed_function_is_new_to_this_duckdb(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """The list names functions that exist, so a renamed one is noticed."""
    rows = connection.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions()"
        " WHERE function_type IN ('table', 'pragma', 'table_macro')"
    ).fetchall()
    assert {row[0] for row in rows} >= TABLE_FUNCTIONS
    assert not TABLE_FUNCTIONS & FORBIDDEN_FUNCTIONS


async def test_no_built_in_name_leads_around_what_is_refused(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """Neither an alias nor a macro of DuckDB calls a refused function under an allowed name."""
    refused = FORBIDDEN_FUNCTIONS | SLOW_FUNCTIONS
    rows = connection.execute(
        "SELECT DISTINCT function_name, coalesce(alias_of, ''), coalesce(macro_definition, '')"
        " FROM duckdb_functions() WHERE function_type NOT IN ('table', 'table_macro', 'pragma')"
    ).fetchall()
    names = {row[0] for row in rows}
    assert names >= SLOW_FUNCTIONS
    for name, alias, definition in rows:
        called = set(re.findall(r"[a-z_0-9]+(?=\()", definition))
        assert name in refused or not {alias, *called} & refused, name
    views = connection.execute("SELECT view_name FROM duckdb_views() WHERE internal").fetchall()
    assert not RELATIONS & {row[0] for row in views}


async def test_every_table_of_ours_may_be_read(
    sql: SqlRunner, connection: duckdb.DuckDBPyConnection
) -> None:
    """The list is that of the file, and what people explore with shows it and no path."""
    rows = await sql.run("SELECT table_name FROM information_schema.tables", 1000)
    assert {row[0] for row in rows.rows} == RELATIONS
    for name in RELATIONS:
        await sql.run(f"FROM {name}", 1)
    path = connection.execute("SELECT path FROM duckdb_databases() WHERE path <> ''").fetchone()
    assert path
    shown = await sql.run("FROM information_schema.tables, information_schema.columns", 10_000)
    assert path[0] not in str(shown.rows)


_ENDLESS = """
import asyncio, sys, threading
from pathlib import Path
from collector.config import Trail
from collector.trail.sql import SqlRunner
from collector.trail.store import open_trail

async def main():
    connection = open_trail(Trail(file=sys.argv[1]))
    runner = SqlRunner(connection, seconds=0.2, workers=1)
    deaf = "SELECT contains(repeat('a', 40000000), repeat('a', 20000000) || 'b')"
    asking = asyncio.create_task(runner.run(deaf, 1))
    waiting = asyncio.create_task(runner.run("SELECT 1", 1))
    while not runner._running:
        await asyncio.sleep(0)
    await asyncio.to_thread(runner.close, patience_s=1)
    for task in (asking, waiting):
        if task.done():
            task.exception()
    connection.close()
    print("closed", flush=True)

asyncio.run(main())
"""


def test_a_query_that_hears_nothing_does_not_keep_the_collector_from_ending(
    tmp_path: Path,
) -> None:
    """One step of it would take hours; the process ends all the same."""
    done = subprocess.run(
        [sys.executable, "-c", _ENDLESS, str(tmp_path / "trail.duckdb")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    # Whether the query had come to its deaf step by then depends on the machine; the end does not.
    assert (done.returncode, done.stdout) == (0, "closed\n"), done.stderr


async def test_only_one_process_may_open_the_file(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """The options of the open file cannot be changed by opening it once more."""
    settings = replace(Trail(file=str(tmp_path / "trail.duckdb")), memory_limit="1GB")
    with pytest.raises(duckdb.Error):
        duckdb.connect(settings.file, config={"enable_external_access": "true"})

"""Runs one SELECT that a person wrote: read-only, without files, limited in time, rows and bytes.

DuckDB's own locks come first (see store); what they leave open is closed here: table functions
outside a short list (some take raw pointers or change the server), and functions that wait.
"""

import asyncio
import datetime as dt
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import duckdb

from collector.errors import Refusal, SqlError

LONGEST_SQL = 16_384
MOST_ROWS = 10_000
MOST_BYTES = 8 << 20
_CHUNK = 256
_WAITING = 8

# Everything else is refused: arrow_scan and its like read any address, enable_logging and
# force_checkpoint act on the server, duckdb_secrets and duckdb_settings tell about it.
TABLE_FUNCTIONS = frozenset(
    "range generate_series unnest repeat repeat_row json_each json_tree histogram_values "
    "duckdb_tables duckdb_columns duckdb_views duckdb_functions duckdb_types duckdb_keywords "
    "pragma_table_info table_info pragma_version".split()
)
_BEGINNINGS = frozenset(
    "select with from values table describe desc show summarize pivot (".split()
)
FORBIDDEN_FUNCTIONS = frozenset(
    "sleep_ms write_log nextval currval setseed json_execute_serialized_sql "
    "json_deserialize_sql json_serialize_plan current_setting getvariable getenv".split()
)


@dataclass(frozen=True, slots=True)
class Result:
    """Rows as JSON can carry them. `truncated`: there were more than rows or bytes allow."""

    columns: tuple[tuple[str, str], ...]
    rows: list[list[Any]]
    truncated: bool


class SqlRunner:
    """A few threads of their own, so that no question of a person delays the collector's work."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, *, seconds: float, workers: int
    ) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="trail-sql")
        self._room = workers + _WAITING
        self._running: set[duckdb.DuckDBPyConnection] = set()

    def close(self) -> None:
        """Interrupt what runs and wait for it."""
        with self._lock:
            for cursor in self._running:
                cursor.interrupt()
        self._pool.shutdown(cancel_futures=True)

    async def run(self, sql: str, limit: int) -> Result:
        """Return the answer; raise SqlError with DuckDB's own words, or Refusal when too busy."""
        if self._room <= 0:
            raise Refusal(
                503, "busy", "too many queries of the trail run already", "try again in a moment"
            )
        self._room -= 1
        work = asyncio.get_running_loop().run_in_executor(self._pool, self._work, sql, limit)
        work.add_done_callback(self._free)
        # An asker who goes away does not free the thread before its time.
        return await asyncio.shield(work)

    def _free(self, work: "asyncio.Future[Result]") -> None:
        self._room += 1
        if not work.cancelled():
            work.exception()  # it was told to the asker, if there still is one

    def _work(self, sql: str, limit: int) -> Result:
        with self._lock:
            cursor = self._connection.cursor()
            self._running.add(cursor)
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()
            cursor.interrupt()

        timer = threading.Timer(self._seconds, stop)
        timer.start()
        try:
            check(cursor, sql)
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            return _fetch(cursor, sql, limit)
        except duckdb.InterruptException as error:
            raise SqlError(
                f"the query took longer than {self._seconds:g} seconds and was stopped"
                if timed_out.is_set()
                else "the collector is stopping"
            ) from error
        except (duckdb.Error, ValueError, OverflowError, MemoryError) as error:
            raise SqlError(str(error).partition("\n\nStack Trace")[0] or "out of memory") from error
        finally:
            timer.cancel()
            timer.join()
            with self._lock:
                self._running.discard(cursor)
            cursor.close()


def check(cursor: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise SqlError unless `sql` is exactly one SELECT that calls nothing forbidden."""
    if len(sql) > LONGEST_SQL:
        raise SqlError(f"the query has {len(sql)} characters, more than {LONGEST_SQL}")
    statements = cursor.extract_statements(sql)
    if len(statements) != 1:
        raise SqlError(f"exactly one statement is needed, not {len(statements)}")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise SqlError(f"only SELECT may be used here, not {statements[0].type.name}")
    first = _first_word(sql)
    if first not in _BEGINNINGS:
        raise SqlError(f"only SELECT may be used here, not {first.upper()[:20]}")
    row = cursor.execute("SELECT json_serialize_sql(?)", [statements[0].query]).fetchone()
    try:
        tree = json.loads(row[0]) if row else {"error": True}
    except RecursionError as error:
        raise SqlError("the query is nested too deeply") from error
    if tree.get("error"):
        raise SqlError(
            tree.get("error_message", "this form of SELECT cannot be checked; reword it")
        )
    _check_functions(tree)


def _first_word(sql: str) -> str:
    """Return the first word after remarks: some pragmas are a SELECT to DuckDB's parser."""
    (offset, _), *_ = duckdb.tokenize(sql)  # in bytes
    rest = sql.encode()[offset:].decode()
    found = re.match(r"\w+", rest)
    return found.group().lower() if found else rest[:1]


def _check_functions(tree: object) -> None:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            waiting.extend(node.values())
            name = str(node.get("function_name", "")).lower()
            if name in FORBIDDEN_FUNCTIONS:
                raise SqlError(f"the function {name} may not be used here")
            if node.get("type") == "TABLE_FUNCTION":
                called = node.get("function")
                inner = called.get("function_name", "") if isinstance(called, dict) else ""
                if str(inner).lower() not in TABLE_FUNCTIONS:
                    raise SqlError(f"the table function {inner} may not be used here")


def _fetch(cursor: duckdb.DuckDBPyConnection, sql: str, limit: int) -> Result:
    cursor.execute(sql)
    columns = tuple((column[0], str(column[1])) for column in cursor.description or ())
    rows: list[list[Any]] = []
    size = 0
    while chunk := cursor.fetchmany(_CHUNK):
        for values in chunk:
            row = [jsonable(value) for value in values]
            size += len(json.dumps(row))
            if len(rows) == limit or size > MOST_BYTES:
                return Result(columns, rows, truncated=True)
            rows.append(row)
    return Result(columns, rows, truncated=False)


def jsonable(value: object) -> Any:
    """Return a value of DuckDB as JSON can carry it: times as ISO 8601, bytes as hex."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if value == value and abs(value) != float("inf") else str(value)
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case list() | tuple():
            return [jsonable(item) for item in value]
        case dict():
            return {str(key): jsonable(item) for key, item in value.items()}
    return str(value)

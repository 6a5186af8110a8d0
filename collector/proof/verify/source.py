"""The files of a trail, opened to be read, and what the check asks of them."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb

from collector.errors import ProofError
from collector.proof.running import PROVEN, columns_of
from collector.trail.segments.files import root_beside
from collector.trail.segments.view import parquet

_CHUNK = 2000
_NAMES = ("trail.duckdb", "views.duckdb")
# Conditions stay above the scan, and nothing is made of statistics.
_UNBELIEVING = "SET disabled_optimizers = 'filter_pushdown,statistics_propagation'"
_QUOTED = re.compile(r"'((?:[^']|'')+\.parquet)'")
_OPTIONS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": "1GB",
}


class Source:
    """One trail. Raises ProofError where a file cannot be read."""

    def __init__(self, place: Path) -> None:
        """`place`: the directory of the trail, or its DuckDB file."""
        self.file, self.connection = _open(place)
        self.checkpoint_file = self.file.with_name("checkpoints.jsonl")
        self._tables = frozenset(
            row[0] for row in self.connection.execute("SHOW TABLES").fetchall()
        )
        for name in ("batches", "events", "checkpoints"):
            if name not in self._tables:
                raise ProofError(
                    f"{self.file}: it has no table {name}; it is not a trail, or of a collector "
                    "that made no checkpoints"
                )
        # views.duckdb says of itself elsewhere what the trail's own file says there.
        about = "schema_version" if "schema_version" in self._tables else "about"
        row = self.connection.execute(f"SELECT any_value(trail) FROM {about}").fetchone()  # noqa: S608
        self.trail = str(row[0]) if row else ""
        self.live = about == "about"
        # Where the files lie that the rows of `segments` name; None where views name them.
        self.segments: Path | None = None
        if not self.live and "segments" in self._tables:
            self.segments = root_beside(self.file) / self.trail
        self.unbelieving = unbelieving()
        self.lost: list[tuple[str, str]] = []  # segments that cannot be read, and why
        self.events = f"({self._events()})"  # for a FROM

    def _events(self) -> str:
        """Return the SELECT over all events, of the segments that lie beside the file now."""
        directory = self.segments
        if directory is None:
            return self._with_when("FROM events")
        found: dict[int, list[str]] = {}
        for name, columns in self.connection.execute(
            "SELECT file, columns FROM segments"
        ).fetchall():
            path = directory / name
            try:
                self.connection.execute(f"SELECT count(*) FROM {parquet([str(path)])}")  # noqa: S608
                found.setdefault(columns, []).append(str(path))
            except duckdb.Error as error:
                self.lost.append((name, str(error).partition("\n")[0]))
        parts = [f"FROM {parquet(files)}" for files in found.values()]
        tails = [name for name in ("events_tail", "events_old") if name in self._tables]
        parts += [f"FROM {name}" for name in tails]
        return " UNION ALL BY NAME ".join(self._with_when(part) for part in parts)

    def _with_when(self, part: str) -> str:
        """Return a SELECT that has `when`, made from the time where a file has no such column."""
        if "when" in {row[0] for row in self.connection.execute(f"DESCRIBE {part}").fetchall()}:
            return f"SELECT * {part}"
        return f'SELECT *, make_timestamp(time_ns // 1000) AS "when" {part}'

    def files(self) -> list[str]:
        """Return the Parquet files that the views of `views.duckdb` read, of every table."""
        views = self.query("SELECT sql FROM duckdb_views() WHERE NOT internal")
        return sorted({one.replace("''", "'") for (sql,) in views for one in _QUOTED.findall(sql)})

    def all_events(self) -> int:
        """Return how many events there are: by reading them, whatever files say of themselves."""
        cursor = self.connection.cursor()
        try:
            cursor.execute(_UNBELIEVING)
            row = cursor.execute(
                f"SELECT count(*), max(host), max(batch), max(number) FROM {self.events}"  # noqa: S608
            ).fetchone()
        finally:
            cursor.execute("RESET disabled_optimizers")
            cursor.close()
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Close the file."""
        self.unbelieving.close()
        self.connection.close()

    def tables(self) -> frozenset[str]:
        """Return the names of what is there."""
        return self._tables

    def proven(self) -> frozenset[str]:
        """Return the tables whose rows checkpoints cover."""
        return frozenset(PROVEN) & self._tables

    def columns(self, table: str) -> list[str]:
        """Return the names of the columns of a table, in their order."""
        return columns_of(self.connection, table)

    def count(self, table: str) -> int:
        """Return how many rows a table has."""
        row = self.connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()  # noqa: S608
        return int(row[0]) if row else 0

    def rows(self, table: str, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a table in the order in which they were written."""
        columns = ", ".join(f'"{name}"' for name in names)
        yield from self.query(f'SELECT {columns} FROM "{table}"')  # noqa: S608

    def query(self, sql: str, values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query, a piece at a time."""
        cursor = self.connection.cursor()
        try:
            cursor.execute(sql, list(values))
            while chunk := cursor.fetchmany(_CHUNK):
                yield from chunk
        finally:
            cursor.close()

    def checkpoints(self) -> Iterator[tuple[int, str, str, str]]:
        """Yield number, digest, previous and line of each checkpoint, in their order."""
        yield from self.query(
            "SELECT number, digest, previous, line FROM checkpoints ORDER BY number"
        )

    def receipts(self) -> list[int]:
        """Return the numbers of the checkpoints that an anchor has taken."""
        if "anchors" not in self._tables:
            return []
        return [row[0] for row in self.query("SELECT checkpoint FROM anchors")]


def unbelieving() -> duckdb.DuckDBPyConnection:
    """Return a connection of its own to read files, whatever they say of themselves."""
    connection = duckdb.connect(config=_OPTIONS)
    connection.execute(_UNBELIEVING)
    return connection


def numbered(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file of checkpoints with their numbers; -place where none is given."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for place, text in enumerate(file, 1):
            line = text.rstrip("\n")
            try:
                number = json.loads(line)["number"]
            except (ValueError, KeyError, TypeError, RecursionError):
                number = -place
            yield (number if isinstance(number, int) else -place), line


def _open(place: Path) -> tuple[Path, duckdb.DuckDBPyConnection]:
    """Open the trail's own file, or, while a collector has that, the one for others."""
    files = [place] if place.is_file() else [place / name for name in _NAMES]
    why = "there is none"
    for file in files:
        if not file.exists():
            continue
        try:
            return file, duckdb.connect(str(file), read_only=True, config=_OPTIONS)
        except duckdb.Error as error:
            why = str(error).partition("\n")[0]
    raise ProofError(
        f"{place}: no trail can be opened ({why}); name the directory with --trail, and while a "
        "collector runs there, stop it or check a copy"
    )

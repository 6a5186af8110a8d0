"""Opens the DuckDB file: locked down, at the schema this program knows, shared by cursors."""

import os
import time
from pathlib import Path

import duckdb

from collector.config import Trail
from collector.errors import TrailError
from collector.trail.macros import MACROS
from collector.trail.migrations import MIGRATIONS
from collector.trail.schema import TABLES, VERSION
from collector.trail.segments.files import directory_of, make_directory, root_beside
from collector.trail.segments.shelf import Shelf
from collector.trail.views import VIEWS
from wire.ids import new_id

_DAMAGED = (
    "If the file is damaged, move it and its .wal away: a new one is filled from the streams, with "
    "all holds and decisions, and the events that they still keep"
)


def open_trail(settings: Trail) -> duckdb.DuckDBPyConnection:
    """Return the one connection to the file, made or brought to this schema; raise TrailError.

    Its configuration is locked: no cursor of it can reach files, the network or extensions.
    """
    path = Path(settings.file)
    try:
        if not path.exists():
            old = os.umask(0o077)
            try:
                connection = duckdb.connect(str(path), config=_options(settings))
            finally:
                os.umask(old)
        else:
            connection = duckdb.connect(str(path), config=_options(settings))
        _migrate(connection, path)
        _find_segments(connection)
        _lock(connection, path)
    except (duckdb.Error, OSError) as error:
        raise TrailError(
            f"{path}: the trail cannot be opened: {error}. Only one process may have it open; "
            f"stop the other one, or query through `holdfast trail sql`. {_DAMAGED}"
        ) from error
    return connection


def trail_id(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the id of this file: a new file reads every stream from its beginning.

    Raises TrailError: this is the first look at its pages.
    """
    try:
        row = connection.execute("SELECT any_value(trail) FROM schema_version").fetchone()
    except duckdb.Error as error:
        raise TrailError(f"the trail cannot be read: {error}. {_DAMAGED}") from error
    return str(row[0]) if row else ""


def _options(settings: Trail) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",
        "memory_limit": settings.memory_limit,
        "threads": str(settings.threads),
        "temp_directory": settings.file + ".spill",
        "max_temp_directory_size": settings.spill_limit,
    }


def _migrate(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_version"
        " (version BIGINT NOT NULL, since_ns BIGINT NOT NULL, trail VARCHAR NOT NULL)"
    )
    found = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    version = found[0] if found else None
    if version is not None and version > VERSION:
        raise TrailError(
            f"{path}: written by a newer collector (schema {version}, this one knows {VERSION}); "
            "upgrade this collector"
        )
    connection.execute("BEGIN")
    # Also in a file of before, in which some are not there yet.
    for table in TABLES:
        connection.execute(table.ddl)
    if version is None:
        connection.execute(
            "INSERT INTO schema_version VALUES (?, ?, ?)", [VERSION, time.time_ns(), new_id()]
        )
    elif version < VERSION:
        for number in range(version + 1, VERSION + 1):
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
        connection.execute(
            "INSERT INTO schema_version SELECT ?, ?, any_value(trail) FROM schema_version",
            [VERSION, time.time_ns()],
        )
    connection.execute("COMMIT")


def _find_segments(connection: duckdb.DuckDBPyConnection) -> None:
    """See which files of events are there, and define every view over them.

    Views hold no data, so each start brings them to what this program knows.
    """
    directory = directory_of(connection)
    make_directory(directory)
    connection.execute("BEGIN")
    shelf = Shelf(connection, directory)
    shelf.look()
    shelf.make_view()
    for name, query in VIEWS.items():
        connection.execute(f"CREATE OR REPLACE VIEW {name} AS {query}")
    for statement in MACROS.values():
        connection.execute(statement)
    connection.execute("COMMIT")


def _lock(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Leave the segments as the only files that can be read from here on, by whatever SQL.

    Not before the migration: DuckDB takes the default of a new column of lists for a setting.
    """
    segments = str(root_beside(path)).replace("'", "''")
    # A segment never changes: what its end says of it is read once.
    connection.execute("SET parquet_metadata_cache = true")
    connection.execute(f"SET allowed_directories = ['{segments}']")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")

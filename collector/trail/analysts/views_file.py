"""Makes the DuckDB file of views: small, whole, and put in place by a rename."""

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from collector.trail.macros import MACROS
from collector.trail.views import VIEWS

# So small that it fits beside everything else that the collector does.
_OPTIONS: dict[str, str | bool | int | float | list[str]] = {
    "threads": "1",
    "memory_limit": "128MB",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


ABOUT = "CREATE TABLE about (trail VARCHAR, schema_version BIGINT, made_at TIMESTAMP)"


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A Parquet file that the views read."""

    table: str
    file: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class About:
    """What the file says of itself."""

    trail: str
    schema_version: int
    made_ns: int


class ViewsFile:
    """The file at one path.

    To make all its views takes half a second, since DuckDB binds them; so a process makes the first
    file whole, and each later one from the one before.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tables: dict[str, str] | None = None  # as they are in the file

    def replace(
        self, tables: Mapping[str, str], listed: Sequence[ListedFile], about: About
    ) -> None:
        """Write the file with a view for each of `tables`, by its SELECT, and all named views.

        It takes the place of the one of before in one step: whoever has that open reads on in it.
        """
        new = self.path.with_name(self.path.name + ".new")
        for leftover in (new, new.with_name(new.name + ".wal")):
            leftover.unlink(missing_ok=True)
        try:
            self._write(new, tables, listed, about)
            new.replace(self.path)
        except BaseException:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise
        self._tables = dict(tables)

    def _write(
        self, new: Path, tables: Mapping[str, str], listed: Sequence[ListedFile], about: About
    ) -> None:
        before = self._tables if self._copied(new) else None
        old_mask = os.umask(0o077)
        try:
            connection = duckdb.connect(str(new), config=_OPTIONS)
        finally:
            os.umask(old_mask)
        try:
            connection.execute("BEGIN")
            for name, query in tables.items():
                if before is None or before.get(name) != query:
                    connection.execute(f'CREATE OR REPLACE VIEW "{name}" AS {query}')
            if before is None:
                for name, query in VIEWS.items():
                    connection.execute(f'CREATE VIEW "{name}" AS {query}')
                for statement in (*MACROS.values(), ABOUT, _FILES):
                    connection.execute(statement)
            _fill(connection, listed, about)
            connection.execute("COMMIT")
        finally:
            connection.close()

    def _copied(self, new: Path) -> bool:
        """Begin with the file that is there, if this process has made it."""
        if self._tables is None or not self.path.exists():
            return False
        shutil.copyfile(self.path, new)
        new.chmod(0o600)
        return True


_FILES = "CREATE TABLE files (table_name VARCHAR, file VARCHAR, rows BIGINT, bytes BIGINT)"


def _fill(
    connection: duckdb.DuckDBPyConnection, listed: Sequence[ListedFile], about: About
) -> None:
    connection.execute("DELETE FROM about")
    connection.execute(
        "INSERT INTO about VALUES (?, ?, make_timestamp(?::BIGINT // 1000))",
        [about.trail, about.schema_version, about.made_ns],
    )
    connection.execute("DELETE FROM files")
    connection.execute(
        "INSERT INTO files SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[]),"
        " unnest(?::BIGINT[]), unnest(?::BIGINT[])",
        [
            [one.table for one in listed],
            [one.file for one in listed],
            [one.rows for one in listed],
            [one.bytes for one in listed],
        ],
    )

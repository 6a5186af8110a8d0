"""A trail as an older collector has left it: what the migrations since then add is taken away."""

import re

import duckdb

from collector.trail.migrations import MIGRATIONS
from collector.trail.schema import EVENTS
from collector.trail.views import VIEWS

_SEGMENTS = 7  # until then the events were a table
_TOMBSTONES = 9  # until then nothing was dropped
_ADDED = re.compile(r"ALTER TABLE (\w+) ADD COLUMN (\w+) ")


def take_back(connection: duckdb.DuckDBPyConnection, version: int) -> None:
    """Bring a trail of today to an earlier version of its schema, with the rows in it.

    Of the events, those that are still in the tail.
    """
    for name in VIEWS:
        connection.execute(f"DROP VIEW IF EXISTS {name}")
    if version < _SEGMENTS:
        connection.execute("DROP VIEW events")
        connection.execute(EVENTS.ddl)
        connection.execute("INSERT INTO events FROM events_tail")
        connection.execute("DROP TABLE events_tail")
        connection.execute("DROP TABLE segments")
    if version < _TOMBSTONES:
        connection.execute("DROP TABLE tombstones")
    for number in range(version + 1, max(MIGRATIONS) + 1):
        for statement in MIGRATIONS[number]:
            if added := _ADDED.match(statement):
                table, column = added.groups()
                connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    connection.execute("UPDATE schema_version SET version = ?", [version])

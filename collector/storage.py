"""Everything of the running collector that works on the trail's file, opened in its order."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import duckdb

from collector.config import Config
from collector.export.bell import Bell
from collector.export.downloads import Downloads
from collector.export.exporter import Exporters
from collector.export.names import host_names
from collector.export.wiring import set_up as set_up_exports
from collector.trail.analysts.publisher import NAME as VIEWS_FILE
from collector.trail.analysts.publisher import ViewsPublisher
from collector.trail.reader import Reader
from collector.trail.retention.rounds import Retention
from collector.trail.retention.settings import policy_of
from collector.trail.segments.keeper import Keeper
from collector.trail.segments.retired import Retired
from collector.trail.sql import SqlRunner
from collector.trail.store import open_trail, trail_id
from collector.trail.writer import Writer
from wire.signing import Signer


@dataclass(frozen=True, slots=True)
class Storage:
    """The trail's file, its writer and its readers. `retention`: None if nothing is dropped."""

    trail: str
    connection: duckdb.DuckDBPyConnection
    writer: Writer
    reader: Reader
    sql: SqlRunner
    downloads: Downloads
    exporters: Exporters
    retention: Retention | None


def open_storage(
    config: Config, signer: Signer, on_fatal: Callable[[str], None], stack: AsyncExitStack
) -> Storage:
    """Open it all; `stack` closes it. `on_fatal` hears, in this loop, why it cannot go on."""
    loop = asyncio.get_running_loop()
    connection = open_trail(config.trail)
    stack.callback(connection.close)

    def fatal(why: str) -> None:
        loop.call_soon_threadsafe(on_fatal, f"the trail cannot be used any more: {why}")

    writer = Writer(connection, on_fatal=fatal)
    stack.push_async_callback(asyncio.to_thread, writer.close)
    trail = trail_id(connection)
    retired = Retired(config.trail.grace_seconds)
    policy = policy_of(config.trail.retention, place="trail.retention")
    retention = None
    if policy is not None:
        retention = Retention(connection, writer.shelf, policy, signer, trail=trail)
    keeper = Keeper(connection, writer, retired, retention=retention)
    stack.push_async_callback(asyncio.to_thread, keeper.close)
    views_file = Path(config.trail.file).with_name(VIEWS_FILE)
    publisher = ViewsPublisher(connection, writer, retired, path=views_file, trail=trail)
    stack.push_async_callback(asyncio.to_thread, publisher.close)
    keeper.start()
    publisher.start()
    reader = Reader(connection)
    stack.push_async_callback(asyncio.to_thread, reader.close)
    sql = SqlRunner(
        connection, seconds=config.trail.query_seconds, workers=config.trail.query_workers
    )
    stack.push_async_callback(asyncio.to_thread, sql.close)
    names = host_names(Path(config.identities.file))
    downloads = Downloads(connection, names)
    stack.callback(downloads.close)
    bell = Bell()

    def written(_: frozenset[str]) -> None:
        loop.call_soon_threadsafe(bell.ring)

    writer.listen(written)
    exporters = set_up_exports(config, connection, bell, names)
    return Storage(trail, connection, writer, reader, sql, downloads, exporters, retention)

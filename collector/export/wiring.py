"""Puts the continuous exports together as the configuration says."""

from pathlib import Path

import duckdb

from collector.channels.http import Http
from collector.config import Config
from collector.errors import ChannelError, ConfigError
from collector.export.bell import Bell
from collector.export.exporter import Exporter, Exporters
from collector.export.formats import Names
from collector.export.settings import Export, ExportKind
from collector.export.sinks import Sink, SyslogSink, WebhookSink
from collector.export.syslog_wire import wire_to

FILE = "exports.sqlite3"


def set_up(
    config: Config, connection: duckdb.DuckDBPyConnection, bell: Bell, names: Names
) -> Exporters:
    """Return the exports, ready to run; raise ConfigError if one cannot be used."""
    database = Path(config.identities.file).with_name(FILE)
    return Exporters(
        [
            Exporter(one, database, connection.cursor(), _sink(config, one), names, bell.listen())
            for one in config.export
        ]
    )


def _sink(config: Config, one: Export) -> Sink:
    if one.kind is ExportKind.SYSLOG:
        return SyslogSink(one, wire_to(one))
    try:
        http = Http(timeout_s=one.timeout_s, tls_ca=config.webhook.tls_ca)
    except ChannelError as error:
        raise ConfigError(f"webhook.tls_ca: {error}") from error
    return WebhookSink(one, Path(config.webhook.directory), http)

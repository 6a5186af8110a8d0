"""Exports that somebody asks for: few at a time, each read and encoded in a thread of its own."""

import threading
from collections.abc import Iterator
from contextlib import suppress

import duckdb

from collector.errors import Refusal
from collector.export.formats import Format, Names, encoder
from collector.export.reading import Reading, Wanted

AT_ONCE = 2


class Download:
    """One export. `parts` is for one thread at a time; `cancel` for any."""

    def __init__(self, reading: Reading, wanted: Wanted, made_in: Format, names: Names) -> None:
        self._reading = reading
        self._encoder = encoder(wanted.source, made_in, names)

    def parts(self) -> Iterator[bytes]:
        """Yield what the client gets, at most a batch or a row group at a time.

        Raise SqlError, TrailError or Refusal; before anything is yielded if it can be known then.
        """
        first = self._encoder.begin(self._reading.schema())
        batches = self._reading.batches()
        batch = next(batches, None)
        yield first
        while batch is not None:
            if part := self._encoder.add(batch):
                yield part
            batch = next(batches, None)
        yield self._encoder.end()

    def cancel(self) -> None:
        """End what is being read."""
        self._reading.cancel()


class Downloads:
    """Opens exports on cursors of their own, so that they wait for nobody and nobody for them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, names: Names) -> None:
        """`names` gives the name of a host by its id; it is called from any thread."""
        self._connection = connection
        self._names = names
        self._lock = threading.Lock()
        self._open: dict[Download, duckdb.DuckDBPyConnection] = {}
        self._room = AT_ONCE

    def take_room(self) -> None:
        """Raise Refusal if there are too many already; otherwise `leave_room` must follow."""
        with self._lock:
            if self._room == 0:
                raise Refusal(
                    503, "busy", f"{AT_ONCE} exports run already", "try again when one has ended"
                )
            self._room -= 1

    def leave_room(self) -> None:
        """Let another one in."""
        with self._lock:
            self._room += 1

    def open(self, wanted: Wanted, made_in: Format) -> Download:
        """Begin an export; raise SqlError or Refusal. `end` must follow."""
        with self._lock:
            cursor = self._connection.cursor()
        try:
            download = Download(Reading(cursor, wanted), wanted, made_in, self._names)
        except BaseException:
            cursor.close()
            raise
        with self._lock:
            self._open[download] = cursor
        return download

    def end(self, download: Download) -> None:
        """Let go of an export."""
        with self._lock:
            cursor = self._open.pop(download, None)
        if cursor is not None:
            with suppress(duckdb.Error):
                cursor.close()

    def close(self) -> None:
        """Interrupt what runs: the collector ends."""
        with self._lock:
            running = list(self._open)
        for download in running:
            download.cancel()

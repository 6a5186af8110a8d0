"""Parquet, written as a stream: each row group leaves as soon as it is full."""

import io

import pyarrow as pa
import pyarrow.parquet as pq

_ROWS_OF_GROUP = 100_000
_BYTES_OF_GROUP = 64 << 20


class _Sink(io.RawIOBase):
    """Keeps what is written until somebody takes it."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        """Say that it can be written."""
        return True

    def write(self, data: object) -> int:
        """Keep a copy."""
        part = bytes(data)  # type: ignore[call-overload]
        self._parts.append(part)
        self._written += len(part)
        return len(part)

    def tell(self) -> int:
        """Return how much was written, also of what was taken."""
        return self._written

    def take(self) -> bytes:
        """Return what was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


class Parquet:
    """Encodes batches as one file of zstd row groups, with the types of the trail."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def begin(self, schema: pa.Schema) -> bytes:
        """Return the first bytes."""
        self._writer = pq.ParquetWriter(self._sink, schema, compression="zstd")
        return self._sink.take()

    def add(self, batch: pa.RecordBatch) -> bytes:
        """Return a row group if these records fill one."""
        self._waiting.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= _ROWS_OF_GROUP or self._bytes >= _BYTES_OF_GROUP:
            self._write()
        return self._sink.take()

    def end(self) -> bytes:
        """Return the last row group and the footer."""
        assert self._writer is not None
        self._write()
        self._writer.close()
        return self._sink.take()

    def _write(self) -> None:
        assert self._writer is not None
        if self._waiting:
            self._writer.write_table(
                pa.Table.from_batches(self._waiting), row_group_size=self._rows
            )
        self._waiting, self._rows, self._bytes = [], 0, 0

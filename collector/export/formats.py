"""The formats of an export. Each takes batches of records, and gives bytes as they come about."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Protocol

import msgspec
import pyarrow as pa

from collector.export.csv import Csv
from collector.export.ecs import ecs
from collector.export.ocsf import ocsf
from collector.export.parquet import Parquet
from collector.export.sources import Source
from collector.export.values import Facts, Row, plain, rfc3339

Names = Callable[[str], str]


class Format(StrEnum):
    """What an export may be in."""

    OCSF = "ocsf"
    ECS = "ecs"
    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"


MEDIA_TYPES: Mapping[Format, str] = {
    Format.OCSF: "application/x-ndjson",
    Format.ECS: "application/x-ndjson",
    Format.JSONL: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8",
    Format.PARQUET: "application/vnd.apache.parquet",
}


class Encoder(Protocol):
    """One export in the making."""

    def begin(self, schema: pa.Schema) -> bytes:
        """Return what comes before the first record."""

    def add(self, batch: pa.RecordBatch) -> bytes:
        """Return what these records add."""

    def end(self) -> bytes:
        """Return what comes after the last one."""


def jsonl(source: Source, row: Row, _: Names) -> Facts:
    """Return a row as it is: its id, its table, its time in words, and every column."""
    head = {"id": row["id"], "table": source.name, "time": rfc3339(row[source.time])}
    return head | {name: plain(value) for name, value in row.items() if name != "id"}


SHAPES: Mapping[Format, Callable[[Source, Row, Names], Facts]] = {
    Format.OCSF: ocsf,
    Format.ECS: ecs,
    Format.JSONL: jsonl,
}


class Lines:
    """One JSON object per line, in UTF-8; no line break is ever in one."""

    def __init__(self, source: Source, shape: Format, names: Names) -> None:
        self._source, self._shape, self._names = source, SHAPES[shape], names
        self._encoder = msgspec.json.Encoder()

    def begin(self, schema: pa.Schema) -> bytes:
        """Return nothing: each line stands for itself."""
        return b""

    def add(self, batch: pa.RecordBatch) -> bytes:
        """Return a line for each record."""
        shape, source, names = self._shape, self._source, self._names
        return b"".join(
            self._encoder.encode(shape(source, row, names)) + b"\n" for row in batch.to_pylist()
        )

    def end(self) -> bytes:
        """Return nothing."""
        return b""


def encoder(source: Source, wanted: Format, names: Names) -> Encoder:
    """Return an encoder for records of a table."""
    if wanted is Format.CSV:
        return Csv()
    if wanted is Format.PARQUET:
        return Parquet()
    return Lines(source, wanted, names)

"""CSV and Parquet: every value comes back as it was, and no text is a formula in a spreadsheet."""

import csv
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.export.csv import Csv
from collector.export.parquet import Parquet
from collector.export.sources import SOURCES
from tests.support.trail_rows import TEXTS, columns, rows

_LOOSE = settings(deadline=None, suppress_health_check=list(HealthCheck))


def _read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


def _encoded(batch: pa.RecordBatch) -> bytes:
    encoder = Csv()
    return encoder.begin(batch.schema) + encoder.add(batch) + encoder.end()


def _text_back(cell: str) -> str:
    return cell[1:] if cell.startswith("'") else cell


@given(st.lists(TEXTS | st.text("=+-@'\t\r\n ,\"＝＠x\0"), min_size=1))
@_LOOSE
def test_text_comes_back_and_begins_no_formula(texts: list[str]) -> None:
    """A quotation mark in front says that it is text; taking one away gives it back."""
    header, *found = _read(_encoded(pa.record_batch({"id": texts})))
    assert header == ["id"]
    cells = [row[0] if row else "" for row in found]
    assert [_text_back(cell) for cell in cells] == [one.replace("\0", "\\x00") for one in texts]
    for cell in cells:
        assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")), cell
        assert not cell.startswith(("\t", "\r", "\n")), cell


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", " =1", "＝1", "'=1", "\n"]
)
def test_what_a_spreadsheet_would_run_is_marked(text: str) -> None:
    """Names of files and arguments are chosen by who is watched."""
    assert _read(_encoded(pa.record_batch({"id": [text]})))[1] == ["'" + text]


def test_numbers_stay_numbers_and_what_is_absent_is_empty() -> None:
    """A negative result is not text, though it begins with a sign."""
    batch = pa.record_batch(
        {
            "n": pa.array([-13, None, 2**63 - 1]),
            "b": pa.array([True, False, None]),
            "raw": pa.array([b"\x00\xff", None, b""]),
            "argv": pa.array([["=a", 'b"c'], None, []], pa.list_(pa.string())),
        }
    )
    _, *found = _read(_encoded(batch))
    assert [row[0] for row in found] == ["-13", "", str(2**63 - 1)]
    assert [row[1] for row in found] == ["true", "false", ""]
    assert [row[2] for row in found] == ["00ff", "", ""]
    assert json.loads(found[0][3]) == ["=a", 'b"c']
    assert [row[3] for row in found[1:]] == ["", "[]"]


@pytest.mark.parametrize("name", ["events", "holds"])
def test_any_row_is_one_record_with_all_its_columns(name: str) -> None:
    """Line breaks and quotes in a value do not end it."""
    names = ["id", *columns(name).names]
    kinds = pa.schema([pa.field("id", pa.string()), *columns(name)])

    @_LOOSE
    @given(st.lists(rows(SOURCES[name]), min_size=1, max_size=4))
    def check(found: list[dict[str, Any]]) -> None:
        batch = pa.RecordBatch.from_pylist(found, schema=kinds)
        header, *lines = _read(_encoded(batch))
        assert header == names
        assert [len(line) for line in lines] == [len(names)] * len(found)

        parquet = Parquet()
        parts = [parquet.begin(kinds), parquet.add(batch), parquet.add(batch), parquet.end()]
        whole = pq.read_table(io.BytesIO(b"".join(parts)))
        assert whole.equals(pa.Table.from_batches([batch, batch]))

    check()


def test_parquet_leaves_as_row_groups_and_not_at_the_end() -> None:
    """So that memory does not grow with the export."""
    parquet = Parquet()
    batch = pa.record_batch({"n": pa.array(range(10_000))})
    sizes = [len(parquet.begin(batch.schema))]
    sizes += [len(parquet.add(batch)) for _ in range(20)]
    assert sizes[10] > 0 and sizes[20] > 0 and sum(sizes[1:10]) == 0
    parts = parquet.end()
    assert len(parts) < sizes[10]

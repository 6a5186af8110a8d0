"""CSV as RFC 4180 has it, safe to open in a spreadsheet: no text is taken for a formula there."""

import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

# What spreadsheets begin a formula with, the wide letters of some keyboards among them, also
# behind blanks; and the mark itself, so that taking one away always gives the text back.
_FORMULA = r"^[\s\x00]*[=+\-@＝＋－＠']|^[\t\r\n]"
_HEADER = pyarrow.csv.WriteOptions(include_header=True, quoting_style="needed")
_ROWS = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")


class Csv:
    """Encodes batches: lists as JSON, bytes as hex, nothing where a value is absent."""

    def begin(self, schema: pa.Schema) -> bytes:
        """Return the line of names."""
        empty = pa.schema([pa.field(one.name, pa.string()) for one in schema]).empty_table()
        return _written(empty, _HEADER)

    def add(self, batch: pa.RecordBatch) -> bytes:
        """Return the lines of these records."""
        columns = [_plain(column) for column in batch.columns]
        return _written(pa.table(columns, names=batch.schema.names), _ROWS)

    def end(self) -> bytes:
        """Return nothing."""
        return b""


def _written(table: pa.Table, options: pyarrow.csv.WriteOptions) -> bytes:
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(table, sink, options)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _plain(column: pa.Array) -> pa.Array:
    if pa.types.is_list(column.type):
        texts = [
            None if value is None else json.dumps(value, ensure_ascii=False)
            for value in column.to_pylist()
        ]
        column = pa.array(texts, pa.string())
    elif pa.types.is_binary(column.type):
        texts = [None if value is None else value.hex() for value in column.to_pylist()]
        return pa.array(texts, pa.string())
    if not pa.types.is_string(column.type):
        return column
    # Few programs read a NUL in CSV, and some end there.
    column = pc.replace_substring(column, "\0", "\\x00")
    marked = pc.binary_join_element_wise(pa.scalar("'"), column, "")
    return pc.if_else(pc.match_substring_regex(column, _FORMULA), marked, column)

"""A message of syslog: whatever is in a record, its header stands and its text is one record."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.export.formats import SHAPES, Format
from collector.export.settings import Facility, Shape
from collector.export.sources import EVENTS, SOURCES
from collector.export.syslog import Record, framed, message
from tests.support.ocsf_schema import faults
from tests.support.trail_rows import event, rows

_LOOSE = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=25)
# The header of RFC 5424, and structured data as we have it.
HEADER = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) ([!-~]{1,255}) holdfast - "
    rb'([!-~]{1,32}) \[meta sequenceId="(\d{1,10})"\] (.*)'
)


def _make(name: str, shape: Shape) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    return lambda row: SHAPES[Format(shape.value)](SOURCES[name], row, lambda host: "web-1")


def _record(row: dict[str, Any], *, number: int = 1, shape: Shape = Shape.JSONL) -> Record:
    return Record(number, "events", row["time_ns"], row, _make("events", shape))


def _message(record: Record, longest: int = 8192, shape: Shape = Shape.JSONL) -> bytes:
    return message(record, facility=Facility.AUTHPRIV, host="centre", longest=longest, shape=shape)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("shape", list(Shape))
def test_any_row_of_any_table_is_one_message(name: str, shape: Shape) -> None:
    """No line break, no byte beyond ASCII and nothing forged; the text is the record."""
    source = SOURCES[name]

    @_LOOSE
    @given(rows(source), st.integers(1, 2**40))
    def check(row: dict[str, Any], number: int) -> None:
        record = Record(number, name, row[source.time], row, _make(name, shape))
        data = _message(record, 1 << 20, shape)
        found = HEADER.fullmatch(data)
        assert found is not None, data[:200]
        assert all(0x20 <= byte < 0x7F for byte in data)
        assert json.loads(found[6]) == record.make(row)
        assert 1 <= int(found[5]) <= 2**31 - 1
        size, _, rest = framed(data).partition(b" ")
        assert int(size) == len(rest) == len(data)

    check()


@given(st.integers(2048, 9000), st.text(max_size=20), st.sampled_from(list(Shape)))
@_LOOSE
def test_a_long_record_is_cut_and_says_so(longest: int, text: str, shape: Shape) -> None:
    """To what the receiver takes; it stays JSON, and OCSF stays OCSF."""
    filler = text.encode(errors="replace").decode() or "x"
    row = event("exec", argv=["sh", filler * 2000, *["y"] * 2000], detail="d" * 4000, path="/p")
    data = _message(_record(row, shape=shape), longest, shape)
    assert len(data) <= longest
    found = HEADER.fullmatch(data)
    assert found is not None
    record = json.loads(found[6])
    if shape is Shape.OCSF:
        assert faults(record) == []
        assert record["metadata"]["is_truncated"] is True
        assert record["metadata"]["untruncated_size"] > longest
        assert "argv" in record["unmapped"]["cut"]
    elif shape is Shape.ECS:
        assert "argv" in record["holdfast"]["cut"]
    else:
        assert "argv" in record["cut"]
        assert record["id"] == row["id"]


@pytest.mark.parametrize(("number", "sequence"), [(1, 1), (2**31 - 1, 2**31 - 1), (2**31, 1)])
def test_numbers_begin_again_where_the_field_ends(number: int, sequence: int) -> None:
    """As RFC 5424 wants it: behind 2147483647 comes 1."""
    found = HEADER.fullmatch(_message(_record(event("exec"), number=number)))
    assert found is not None and int(found[5]) == sequence


@pytest.mark.parametrize(
    ("action", "severity"), [("observe", 6), ("allow", 6), ("ask", 5), ("deny", 4)]
)
def test_the_severity_is_what_was_done_about_the_act(action: str, severity: int) -> None:
    """Beside the facility, 10 for what only some may read."""
    found = HEADER.fullmatch(_message(_record(event("open", action=action))))
    assert found is not None and int(found[1]) == 10 * 8 + severity


def test_every_facility_has_its_number() -> None:
    """As RFC 5424 lists them."""
    numbers = {}
    for facility in Facility:
        data = message(
            _record(event("open")), facility=facility, host="h", longest=4096, shape=Shape.JSONL
        )
        numbers[facility.value] = int(data[1 : data.index(b">")]) // 8
    assert numbers == {
        "daemon": 3,
        "auth": 4,
        "authpriv": 10,
        "audit": 13,
        **{f"local{place}": 16 + place for place in range(8)},
    }
    assert EVENTS.name == "events"

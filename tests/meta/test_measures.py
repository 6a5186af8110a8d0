"""Every measure is in the documents, and in the text as Prometheus reads it."""

import re
from pathlib import Path

import pytest

from collector.export.exporter import ExportHealth
from collector.export.measures import MEASURES, Measure, written
from collector.export.settings import Export, ExportKind
from collector.trail.retention import measures as retention
from collector.trail.retention.rounds import Figures

RETENTION = (Path(__file__).parents[2] / "docs" / "retention.md").read_text(encoding="utf-8")
PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
LINE = re.compile(r'[a-z_]+\{export="[A-Za-z0-9._-]+"\} [0-9.e+-]+')


@pytest.mark.parametrize("measure", MEASURES, ids=lambda one: str(one.name))
def test_every_measure_is_documented(measure: Measure) -> None:
    """With its type, in a row of its own."""
    assert f"| `{measure.name}` | {measure.kind} |" in PAGE


def test_no_measure_is_documented_that_there_is_not() -> None:
    """A measure that was renamed is not left behind."""
    named = set(re.findall(r"^\| `(holdfast_[a-z_]+)`", PAGE, re.MULTILINE))
    assert named == {measure.name for measure in MEASURES}


def test_the_text_has_a_value_of_each_measure_for_each_export() -> None:
    """In the exposition format: HELP, TYPE, then values."""
    settings = [Export(name=name, kind=ExportKind.WEBHOOK, to="x") for name in ("siem", "a.b-c")]
    health = [ExportHealth(one, 2**53 - 1, 0.25, 3, "away", None) for one in settings]
    lines = written(health).splitlines()
    assert len(lines) == len(MEASURES) * 4
    for place, line in enumerate(lines):
        if place % 4 < 2:
            assert line.startswith(("# HELP holdfast_", "# TYPE holdfast_")[place % 4])
        else:
            assert LINE.fullmatch(line), line
    assert 'holdfast_export_records_total{export="siem"} 9007199254740991' in lines
    assert 'holdfast_export_lag_seconds{export="a.b-c"} 0.25' in lines
    assert 'holdfast_export_working{export="siem"} 0' in lines


def test_every_measure_of_retention_is_documented_and_no_other() -> None:
    """With its type; the text has a value of each, by reason where it is told apart by that."""
    named = re.findall(r"^\| `(holdfast_[a-z_]+)` \| (\w+) \|", RETENTION, re.MULTILINE)
    assert named == [(one.name, one.kind) for one in retention.MEASURES]
    lines = retention.written(Figures({"age": 7}, {}, 3, 5 * 10**9)).splitlines()
    assert len([line for line in lines if line.startswith("# ")]) == 2 * len(retention.MEASURES)
    assert [line for line in lines if not line.startswith("# ")] == [
        'holdfast_retention_dropped_events_total{reason="age"} 7',
        'holdfast_retention_dropped_events_total{reason="size"} 0',
        'holdfast_retention_dropped_bytes_total{reason="age"} 0',
        'holdfast_retention_dropped_bytes_total{reason="size"} 0',
        "holdfast_retention_held_back_events 3",
        "holdfast_retention_last_round_timestamp_seconds 5.0",
    ]

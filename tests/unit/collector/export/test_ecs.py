"""ECS: every document has the published fields only, in their types, whatever is in the trail."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from collector.export.ecs import VERSION, ecs
from collector.export.sources import EVENTS, SOURCES
from tests.support.ecs_schema import faults, published
from tests.support.trail_rows import event, rows
from wire.event_kinds import EventKind


def _name(host: str) -> str:
    return "web-1" if host == "a" * 32 else ""


def test_the_version_is_that_of_the_published_fields() -> None:
    """What a document says of itself is what it is checked against."""
    assert published()["version"] == VERSION
    assert len(published()["fields"]) > 1000


@pytest.mark.parametrize("kind", list(EventKind))
def test_each_kind_of_event_is_a_document(kind: EventKind) -> None:
    """With the category and the type that ECS lets go together."""
    made = ecs(EVENTS, event(kind.value, path="/etc/shadow"), _name)
    assert faults(made) == []
    assert made["event"]["action"] == kind
    assert made["host"]["name"] == "web-1"
    assert made["@timestamp"] == "2026-05-28T20:26:40.123456789Z"


def test_an_exec_says_what_was_run() -> None:
    """With the arguments as they were, and as a line."""
    made = ecs(EVENTS, event("exec", program="/usr/bin/curl", argv=["curl", "a b"]), _name)
    assert made["process"]["args"] == ["curl", "a b"]
    assert made["process"]["command_line"] == "curl 'a b'"
    assert made["process"]["executable"] == "/usr/bin/curl"
    assert made["event"]["kind"] == "alert"


@pytest.mark.parametrize("name", SOURCES)
def test_any_row_of_any_table_is_a_document(name: str) -> None:
    """Whatever a host, or who attacks it, has put there."""
    source = SOURCES[name]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(rows(source))
    def check(row: dict[str, Any]) -> None:
        made = ecs(source, row, _name)
        assert faults(made) == []
        assert made["event"]["id"] == row["id"]

    check()

"""OCSF: every record is as the published schema of its class says, whatever is in the trail."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from collector.export.ocsf import VERSION, ocsf
from collector.export.sources import EVENTS, SOURCES
from tests.support.ocsf_schema import faults, labels
from tests.support.trail_rows import columns, event, rows
from wire.event_kinds import EventKind

# The class and the activity that each kind of event is.
CLASSES = {
    "exec": ("Process Activity", "Launch"),
    "open": ("File System Activity", "Open"),
    "create": ("File System Activity", "Create"),
    "truncate": ("File System Activity", "Update"),
    "delete": ("File System Activity", "Delete"),
    "rename": ("File System Activity", "Rename"),
    "link": ("File System Activity", "Link"),
    "symlink": ("File System Activity", "Create"),
    "chmod": ("File System Activity", "Set Security"),
    "chown": ("File System Activity", "Set Security"),
    "mount": ("File System Activity", "Mount"),
    "connect": ("Network Activity", "Open"),
    "send": ("Network Activity", "Traffic"),
    "listen": ("Network Activity", "Listen"),
    "trace": ("Process Activity", "Open"),
    "identity": ("Process Activity", "Set User ID"),
    "module": ("Kernel Extension Activity", "Load"),
    "bpf": ("Kernel Activity", "Create"),
    "namespace": ("Kernel Activity", "Invoke"),
    "gap": ("Event Log Activity", "Events Lost"),
    "notice": ("Base Event", "Notice"),
}
OPERATIONS = {"identity": "setuid 0", "bpf": "prog_load", "namespace": "unshare user,mount"}


def _name(host: str) -> str:
    return "web-1" if host == "a" * 32 else ""


@pytest.mark.parametrize("kind", list(EventKind))
def test_each_kind_of_event_is_the_class_that_the_page_names(kind: EventKind) -> None:
    """And valid by the published schema, with the numbers called what the schema calls them."""
    made = ocsf(
        EVENTS, event(kind.value, path="/etc/shadow", operation=OPERATIONS.get(kind)), _name
    )
    assert (made["class_name"], made["activity_name"]) == CLASSES[kind]
    assert made["metadata"]["version"] == VERSION == "1.8.0"
    assert made["device"]["name"] == "web-1"
    assert faults(made) == []
    known = labels(made["class_uid"])
    assert made["class_name"] == known["class_uid"][made["class_uid"]]
    assert made["category_name"] == known["category_uid"][made["category_uid"]]
    assert made["type_name"] == known["type_uid"][made["type_uid"]]
    for name, beside in (("severity_id", "severity"), ("status_id", "status")):
        assert made[beside] == known[name][made[name]]
    if made["disposition_id"] != 99:
        assert made["disposition"] == known["disposition_id"][made["disposition_id"]]


@pytest.mark.parametrize("name", SOURCES)
def test_any_row_of_any_table_is_valid(name: str) -> None:
    """Whatever a host, or who attacks it, has put there."""
    source = SOURCES[name]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(rows(source))
    def check(row: dict[str, Any]) -> None:
        made = ocsf(source, row, _name)
        assert faults(made) == []
        assert made["metadata"]["uid"] == row["id"]
        assert "\n" not in msgspec.json.encode(made).decode()

    check()


@given(rows(EVENTS))
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_no_value_of_an_event_is_left_out(row: dict[str, Any]) -> None:
    """What the schema has no attribute for is under `unmapped`."""
    made = ocsf(EVENTS, row, _name)
    whole = set(_leaves(made))
    for name in set(columns("events").names) - {
        "time_ns",
        "action",
        "argv",
        "kind",
        "port",
        "host",
    }:
        value = row[name]
        if value not in (None, "", []):
            assert str(value) in whole or made["unmapped"].get(name) == value, name


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    else:
        yield str(value)


@pytest.mark.parametrize(
    ("action", "guarantee", "disposition"),
    [
        ("observe", "held", "Logged"),
        ("allow", "held", "Allowed"),
        ("ask", "held", "Delayed"),
        ("ask", "stopped", "Delayed"),
        ("deny", "held", "Blocked"),
        ("ask", "late", "Detected"),
        ("deny", "late", "Detected"),
    ],
)
def test_what_was_done_about_an_act_is_its_disposition(
    action: str, guarantee: str, disposition: str
) -> None:
    """An act that had happened by then was detected, not blocked."""
    made = ocsf(EVENTS, event("send", action=action, guarantee=guarantee), _name)
    assert made["disposition"] == disposition
    assert made["is_alert"] is (action in ("ask", "deny"))

"""What an event of the trail is about, as one text of its columns; raw: make it safe to show."""

from collections.abc import Mapping
from typing import Any


def changed(event: Mapping[str, Any]) -> str:
    """Return both names, what exactly and the other process, of an act that has any of these."""
    names = " -> ".join(str(event[name]) for name in ("path", "second_path") if event.get(name))
    other = ""
    if event.get("target_pid") is not None:
        other = f"{event.get('target_comm') or ''} (pid {event['target_pid']})".strip()
    operation = event.get("operation")
    return " ".join(part for part in (names, other, f"({operation})" if operation else "") if part)

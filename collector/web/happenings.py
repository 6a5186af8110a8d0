"""An event of the trail as one line of a list: what a watched process did, safe to show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collector.commandtext import one_line
from collector.eventtext import changed
from collector.sanitize import clean
from collector.web.words import iso
from collector.words import clock

_LIMIT = 240
_NAME_LIMIT = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One event. `hold` is empty unless the act was asked about."""

    when: str
    iso: str
    kind: str
    what: str
    by: str
    host: str
    session: str
    subject: str
    rule: str
    action: str
    hold: str
    count: int


def happening(event: Mapping[str, Any], host_name: str) -> Happening:
    """Return the line of a row of the trail's table `events`."""
    return Happening(
        when=clock(event["time_ns"]),
        iso=iso(event["time_ns"]),
        kind=_text(event, "kind"),
        what=_what(event),
        by="" if event["kind"] == "exec" else _text(event, "program"),
        host=clean(host_name, _NAME_LIMIT).text,
        session=_text(event, "session"),
        subject=_text(event, "subject"),
        rule=_text(event, "rule"),
        action=_text(event, "action"),
        hold=_text(event, "hold"),
        count=event["count"],
    )


def _what(event: Mapping[str, Any]) -> str:
    if event["kind"] == "exec":
        argv = event["argv"] or [event["program"] or ""]
        return one_line([str(word) for word in argv], _LIMIT)
    if event["path"]:
        flags = f" ({event['flags']})" if event["flags"] else ""
        return clean(f"{changed(event)}{flags}", _LIMIT).text
    if event["address"]:
        transport = f"{event['transport']} " if event["transport"] else ""
        port = f" port {event['port']}" if event["port"] else ""
        return clean(f"{transport}{event['address']}{port}", _LIMIT).text
    return clean(changed(event) or event["detail"] or "", _LIMIT).text


def _text(event: Mapping[str, Any], name: str) -> str:
    return clean(event[name] or "", _NAME_LIMIT).text

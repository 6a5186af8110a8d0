"""Reads server-sent events from bytes.

Lines end at line feeds only: the data quotes hostile text, which may hold other characters that
count as line ends elsewhere (U+0085, U+2028) and must not break an event in two.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from collector.cli.errors import CliError

_LARGEST = 16 << 20


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name and the JSON object that it carries."""

    name: str
    data: dict[str, Any]


def read_events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Yield each complete event; raise CliError if the bytes are not a stream of Holdfast's."""
    name, data = "", b""
    for line in _lines(chunks):
        if not line:
            if name:
                yield Event(name, _object(data))
            name, data = "", b""
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"data":
            data += value


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest: list[bytes] = []
    size = 0
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        rest.append(first)
        size += len(first)
        if size > _LARGEST:
            raise _broken(f"a line has more than {_LARGEST} bytes")
        for other in others:
            yield b"".join(rest).removesuffix(b"\r")
            rest, size = [other], len(other)


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data or b"{}")
    except ValueError as error:
        raise _broken(str(error)) from error
    if not isinstance(found, dict):
        raise _broken("an event carries no object")
    return found


def _broken(why: str) -> CliError:
    return CliError(
        "not_holdfast",
        f"the stream of requests is not as it should be: {why}",
        "see that --url is the collector's address and nothing between alters its answers",
    )

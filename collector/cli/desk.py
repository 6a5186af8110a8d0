"""What is on the reviewer's desk: which requests changed, and which still wait for an answer. Pure.

The stream sends every open request again whenever it is opened anew, so the desk tells what is
news, and what must have ended while nobody followed.
"""

from dataclasses import dataclass, field
from typing import Any

Facts = dict[str, Any]


@dataclass(slots=True)
class Desk:
    """Requests by id, as last seen."""

    _seen: dict[str, str] = field(default_factory=dict)
    _open: dict[str, Facts] = field(default_factory=dict)
    _set_aside: set[str] = field(default_factory=set)
    _since_connect: set[str] = field(default_factory=set)

    def connected(self) -> None:
        """A stream begins: what is open is about to be sent."""
        self._since_connect = set()

    def take(self, request: Facts) -> bool:
        """Take in a request; return whether it is news."""
        name = request["request"]
        self._since_connect.add(name)
        marks = f"{request['card']['state_line']}\0{len(request['comments'])}"
        news = self._seen.get(name) != marks
        self._seen[name] = marks
        if request["state"] == "open":
            self._open[name] = request
        else:
            self._open.pop(name, None)
            self._set_aside.discard(name)
        return news

    def is_new(self, request: Facts) -> bool:
        """Say whether this request was never seen before; ask before `take`."""
        return request["request"] not in self._seen

    def missing(self) -> list[str]:
        """Return what was open and was not sent by the stream, once it is ready."""
        return [name for name in self._open if name not in self._since_connect]

    def is_open(self, name: str) -> bool:
        """Say whether a request still waits for an answer."""
        return name in self._open

    def next_question(self) -> Facts | None:
        """Return the oldest request that waits and was not set aside."""
        waiting = [one for name, one in self._open.items() if name not in self._set_aside]
        return min(waiting, key=lambda one: int(one["opened_ns"]), default=None)

    def waiting(self) -> int:
        """Return how many requests wait and were not set aside."""
        return len(self._open.keys() - self._set_aside)

    def set_aside(self, name: str) -> None:
        """Do not ask about this request again."""
        self._set_aside.add(name)

"""Reads typed values out of a YAML tree and collects every problem instead of stopping at one."""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import TypeVar

from rules import yamltree
from rules.errors import GlobError, Place, Problem

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

_DURATION = re.compile(r"(\d{1,9})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Reader:
    """Reads values of one file; what is wrong goes to `problems`, and None comes back for it."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def refuse(self, place: Place, problem: str, remedy: str) -> None:
        """Record one problem."""
        self.problems.append(Problem(place, problem, remedy))

    def keys(
        self, node: yamltree.Node, allowed: Iterable[str], what: str
    ) -> dict[str, yamltree.Node] | None:
        """Return the mapping's known keys; refuse unknown ones with the nearest that is known."""
        known = tuple(allowed)
        if not isinstance(node, yamltree.Mapping):
            self.refuse(node.place, f"{what} is not a mapping", f"give it keys: {', '.join(known)}")
            return None
        found: dict[str, yamltree.Node] = {}
        for key, value in node.items:
            if key.text in known:
                found[key.text] = value
            else:
                self.refuse(key.place, f"{what} has no key {key.text!r}", _nearest(key.text, known))
        return found

    def text(self, node: yamltree.Node, what: str) -> str | None:
        """Return a scalar's text, which must not be blank."""
        if not isinstance(node, yamltree.Scalar):
            self.refuse(node.place, f"{what} is not text", "write one value")
            return None
        if not node.text.strip():
            self.refuse(node.place, f"{what} is empty", "give it a value or remove the key")
            return None
        return node.text

    def texts(self, node: yamltree.Node, what: str) -> tuple[yamltree.Scalar, ...]:
        """Return the scalars of a list, or the one scalar that stands for a list of one."""
        items: Sequence[yamltree.Node] = (
            node.items if isinstance(node, yamltree.Sequence) else (node,)
        )
        if not items:
            self.refuse(node.place, f"{what} is an empty list", "remove the key or give a value")
        found = []
        for item in items:
            if self.text(item, what) is not None and isinstance(item, yamltree.Scalar):
                found.append(item)
        return tuple(found)

    def choice(self, node: yamltree.Node, kind: type[E], what: str) -> E | None:
        """Return the member of `kind` that the text names."""
        text = self.text(node, what)
        if text is None:
            return None
        names = tuple(kind)
        if text not in names:
            self.refuse(node.place, f"{what} cannot be {text!r}", _nearest(text, names))
            return None
        return kind(text)

    def choices(self, node: yamltree.Node, kind: type[E], what: str) -> frozenset[E] | None:
        """Return the members that a text or a list names."""
        found = [self.choice(item, kind, what) for item in self.texts(node, what)]
        return frozenset(member for member in found if member is not None) or None

    def duration(self, node: yamltree.Node, what: str, least: str, most: str) -> int | None:
        """Return seconds, from text such as 30s, 10m, 2h or 7d within `least` and `most`."""
        text = self.text(node, what)
        if text is None:
            return None
        remedy = f"write a number and s, m, h or d, from {least} to {most}"
        seconds = _seconds(text)
        if seconds is None:
            self.refuse(node.place, f"{what} cannot be {text!r}", remedy)
            return None
        if not (_seconds(least) or 0) <= seconds <= (_seconds(most) or 0):
            self.refuse(node.place, f"{what} of {text} is out of range", remedy)
            return None
        return seconds

    def patterns(
        self, node: yamltree.Node, build: Callable[[tuple[str, ...]], T], what: str
    ) -> T | None:
        """Return what `build` makes of the patterns; each that it refuses is a problem."""
        good = []
        for item in self.texts(node, what):
            try:
                build((item.text,))
            except GlobError as error:
                self.refuse(item.place, f"{what}: {error.problem}", error.remedy)
            else:
                good.append(item.text)
        return build(tuple(good)) if good else None


def _seconds(text: str) -> int | None:
    found = _DURATION.fullmatch(text)
    return int(found[1]) * _SECONDS[found[2]] if found else None


def _nearest(text: str, known: Iterable[str]) -> str:
    names = [str(name) for name in known]
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(names)}"

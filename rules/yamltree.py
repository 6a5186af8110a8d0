"""The plain part of YAML that rule files are written in, as a tree whose every node has a place.

Anchors, aliases, tags and duplicate keys are refused: a rule must mean what it seems to say.
Every scalar stays text, so that `on`, `no` and `1e3` are what they look like.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from rules.errors import Place, Problem, RuleErrors

LARGEST = 1 << 20
DEEPEST = 16


@dataclass(frozen=True, slots=True)
class Scalar:
    """Text, quoted or not."""

    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    place: Place
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in order of the file; no key occurs twice."""

    place: Place
    items: tuple[tuple[Scalar, "Node"], ...]


Node = Scalar | Sequence | Mapping


class _Tree:
    """Builds nodes from the parser's events, which arrive one by one and nest without recursion."""

    def __init__(self, file: str, events: Iterator[Event]) -> None:
        self._file = file
        self._events = events
        self.problems: list[Problem] = []

    def place(self, event: Event) -> Place:
        mark = event.start_mark
        assert mark is not None
        return Place(self._file, mark.line + 1, mark.column + 1)

    def refuse(self, event: Event, problem: str, remedy: str) -> None:
        self.problems.append(Problem(self.place(event), problem, remedy))

    def document(self) -> Node | None:
        node: Node | None = None
        documents = 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents == 2:
                    self.refuse(event, "a second document begins", "put it into a file of its own")
            elif isinstance(event, NodeEvent):
                built = self.node(event, 1)
                node = node or built
        return node

    def node(self, event: Event, depth: int) -> Node:
        place = self.place(event)
        if isinstance(event, AliasEvent):
            self.refuse(event, "an alias (*name) is used", 'write it out; quote a glob: "*.pem"')
            return Scalar(place, "")
        self._refuse_marks(event)
        if isinstance(event, ScalarEvent):
            return Scalar(place, str(event.value))
        if depth > DEEPEST:
            raise RuleErrors((_too_deep(place),))
        if isinstance(event, SequenceStartEvent):
            return Sequence(place, tuple(self._items(depth)))
        return self._mapping(place, depth)

    def _refuse_marks(self, event: Event) -> None:
        if getattr(event, "anchor", None) is not None:
            self.refuse(event, "an anchor (&name) is set", "write the value out where it is used")
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            self.refuse(event, f"the tag {tag!r} is set", "remove it; only plain YAML is read")

    def _items(self, depth: int) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, SequenceEndEvent):
                return
            yield self.node(event, depth + 1)

    def _mapping(self, place: Place, depth: int) -> Mapping:
        items: list[tuple[Scalar, Node]] = []
        first: dict[str, Place] = {}
        for event in self._events:
            if isinstance(event, MappingEndEvent):
                break
            key = self.node(event, depth + 1)
            value = self.node(next(self._events), depth + 1)
            if not isinstance(key, Scalar):
                self.problems.append(Problem(key.place, "a key is not text", "write a word"))
            elif key.text in first:
                self.problems.append(
                    Problem(
                        key.place,
                        f"the key {key.text!r} stands twice (first in line {first[key.text].line})",
                        "keep one of them",
                    )
                )
            else:
                first[key.text] = key.place
                items.append((key, value))
        return Mapping(place, tuple(items))


def parse(file: str, data: bytes, *, top: str = "rules") -> Node:
    """Return the tree of one file's bytes; raise RuleErrors that names every place that is wrong.

    `file` is what the places say, `top` the key that such a file begins with.
    """
    text = _text(file, data)
    tree = _Tree(file, _events(text))
    try:
        node = tree.document()
    except yaml.MarkedYAMLError as error:
        raise RuleErrors((*tree.problems, _syntax(file, text, error))) from error
    if tree.problems:
        raise RuleErrors(tuple(tree.problems))
    if node is None or node == Scalar(node.place, ""):
        remedy = f"write `{top}:` and a list of {top}, or remove the file"
        raise RuleErrors((Problem(Place(file, 1, 1), "the file is empty", remedy),))
    return node


def _text(file: str, data: bytes) -> str:
    if len(data) > LARGEST:
        raise RuleErrors(
            (
                Problem(
                    Place(file),
                    f"the file is larger than {LARGEST >> 20} MiB",
                    "split it into several files",
                ),
            )
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        raise RuleErrors(
            (_at(file, before, f"byte 0x{data[error.start]:02x} is not UTF-8", "save it as UTF-8"),)
        ) from error
    odd = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if odd:
        what = f"the control character U+{ord(odd.group()):04X} is in the file"
        raise RuleErrors((_at(file, text[: odd.start()], what, "remove it"),))
    return text


def _at(file: str, before: str, problem: str, remedy: str) -> Problem:
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return Problem(Place(file, line, column), problem, remedy)


def _events(text: str) -> Iterator[Event]:
    # The parser in C is ten times as quick where PyYAML was built with it.
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    events: Iterator[Event] = yaml.parse(text, Loader=loader)
    return events


def _too_deep(place: Place) -> Problem:
    return Problem(place, f"lists nest deeper than {DEEPEST}", "a rule needs five levels")


def _syntax(file: str, text: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
    what = " ".join(filter(None, (error.context, error.problem)))
    if "nesting depth" in what:  # libyaml's own limit, which a look ahead may meet first
        return _too_deep(place)
    if "alias" in what or "anchor" in what:
        return Problem(place, "a value begins with * or & and is not quoted", 'write "**/.env"')
    line = text.split("\n")[place.line - 1 : place.line]
    if line and "\t" in line[0][: len(line[0]) - len(line[0].lstrip())]:
        return Problem(place, "a tab is used to indent", "indent with spaces")
    return Problem(place, f"not YAML: {what}", "mend it; quote text that has : # [ { or *")

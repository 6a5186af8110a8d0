"""Globs: parsed once, compiled once, matched without backtracking that an act could blow up.

Knows the two dialects: paths, where `*` stays within a component and `**` crosses components,
and command lines, where `*` crosses everything. Hides the regular expressions.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from rules.errors import GlobError


class Wild(Enum):
    """A wildcard that matches any run of characters, or any one."""

    RUN = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class OneOf:
    """A character class, as the body of a regular expression's."""

    body: str


Atom = str | Wild | OneOf
# One path component: its atoms, or None for `**`.
Component = tuple[Atom, ...] | None


# Names that stand in no directory: abstract sockets, and files that live in memory only.
_BARE = ("@", "memfd:")


def is_bare(pattern: str) -> bool:
    """Return whether the pattern is of names that stand in no directory."""
    return pattern.startswith(_BARE)


def parse_path(pattern: str) -> tuple[Component, ...]:
    """Return the components of a path pattern; raise GlobError for one that cannot be meant.

    An absolute pattern begins with the empty component that stands before its first slash. A
    pattern without a slash is matched on the last component, so it is read as `**/pattern`.
    """
    _refuse_odd_path(pattern)
    if "/" not in pattern and not is_bare(pattern) and pattern != "**":
        pattern = f"**/{pattern}"
    components: list[Component] = []
    for part in _split_path(pattern):
        if part == "**":
            if not components or components[-1] is not None:
                components.append(None)
        elif "**" in part:
            raise GlobError(
                f"{pattern!r} has `**` inside a component",
                "write `**` between slashes, as in /srv/**/*.pem, or a single `*`",
            )
        else:
            components.append(_atoms(part, pattern, path=True))
    return tuple(components)


def _refuse_odd_path(pattern: str) -> None:
    if not pattern:
        raise GlobError("the pattern is empty", "write a path such as /etc/shadow or **/.env")
    if "\0" in pattern:
        raise GlobError(f"{pattern!r} has a zero byte, and no path does", "write it without")
    if pattern.startswith("~") or "$" in pattern.split("/", 1)[0]:
        raise GlobError(
            f"{pattern!r} needs a home or a variable, which the kernel does not know",
            "write /home/*/... and /root/..., or **/...",
        )
    if "/" in pattern and not pattern.startswith(("/", "**/", *_BARE)):
        raise GlobError(f"{pattern!r} is relative", f"write /{pattern} or **/{pattern}")
    if pattern.endswith("/"):
        raise GlobError(
            f"{pattern!r} ends with a slash, and no path does",
            f"write {pattern}** for everything below it",
        )
    parts = pattern.split("/")
    if {".", ".."} & set(parts) or "" in parts[1:]:
        raise GlobError(
            f"{pattern!r} has an empty, `.` or `..` component, and a resolved path has none",
            "write the path as `realpath` prints it",
        )


def _split_path(pattern: str) -> list[str]:
    # Not str.split: a slash inside a class must be reported as such, not cut the class in two.
    parts, start, index = [], 0, 0
    while index < len(pattern):
        if pattern[index] == "[":
            index = _class_end(pattern, index)
        elif pattern[index] == "/":
            parts.append(pattern[start:index])
            start = index + 1
        index += 1
    return [*parts, pattern[start:]]


def _class_end(pattern: str, start: int) -> int:
    """Return the index of the `]` that closes the class opened at `start`."""
    index = start + 1
    if pattern[index : index + 1] == "!":
        index += 1
    end = pattern.find("]", index + 1)
    if end < 0:
        raise GlobError(f"{pattern!r} has a `[` that is not closed", "close it, or write [[] for [")
    return end


def _atoms(text: str, pattern: str, *, path: bool) -> tuple[Atom, ...]:
    atoms: list[Atom] = []
    index = 0
    while index < len(text):
        char = text[index]
        if char == "*":
            if not atoms or atoms[-1] is not Wild.RUN:
                atoms.append(Wild.RUN)
        elif char == "?":
            atoms.append(Wild.ONE)
        elif char == "[":
            end = _class_end(text, index)
            atoms.append(_one_of(text[index + 1 : end], pattern, path=path))
            index = end
        elif atoms and isinstance(atoms[-1], str):
            atoms[-1] += char
        else:
            atoms.append(char)
        index += 1
    return tuple(atoms)


def _one_of(body: str, pattern: str, *, path: bool) -> Atom:
    negated = body.startswith("!")
    members = body[1:] if negated else body
    if path and "/" in members:
        raise GlobError(
            f"{pattern!r} has a slash in [{body}]", "a class stands for one character of a name"
        )
    if not negated and len(members) == 1:
        return members
    escaped = re.sub(r"([\\^\[\]&~|])", r"\\\1", members)
    # A path's class never matches a slash, negated or not.
    text = f"^{'/' if path else ''}{escaped}" if negated else escaped
    try:
        re.compile(f"[{text}]")
    except re.error as error:
        raise GlobError(f"{pattern!r}: [{body}] is not a class ({error})", "mend it") from error
    return OneOf(text)


def _expression(atoms: tuple[Atom, ...], run: str, one: str) -> str:
    """Return the expression of a run of atoms.

    Every star but the last takes the first place that fits and never gives it back: for globs
    that loses no match, and a hostile name costs no more than its length.
    """
    pieces: list[str] = []
    stars = sum(atom is Wild.RUN for atom in atoms)
    open_group = False
    for atom in atoms:
        if atom is Wild.RUN:
            stars -= 1
            if open_group:
                pieces.append(")")
            open_group = stars > 0
            pieces.append(f"(?>{run}?" if open_group else run)
        elif isinstance(atom, OneOf):
            pieces.append(f"[{atom.body}]")
        elif isinstance(atom, str):
            pieces.append(re.escape(atom))
        else:
            pieces.append(one)
    return "".join(pieces)


def _component_expression(component: tuple[Atom, ...]) -> str:
    if component == (Wild.RUN,):
        return "[^/]+"
    return _expression(component, "[^/]*", "[^/]")


def _path_expression(components: tuple[Component, ...]) -> str:
    """Return the expression for a whole path; `**` between components may stand for none."""
    pieces: list[str] = []
    last = len(components) - 1
    final_double = max((i for i, c in enumerate(components) if c is None), default=-1)
    in_group = False
    for index, component in enumerate(components):
        if component is None:
            if in_group:
                pieces.append(")")
            in_group = index != final_double
            if index == last:
                pieces.append(".+" if index else ".*")
            else:
                # As with stars: only the last `**` may have to give back.
                pieces.append("(?>(?:.*?/)??" if in_group else "(?:.*/)?")
        else:
            pieces.append(_component_expression(component))
            if index != last:
                pieces.append("/")
    return "".join(pieces)


def literal(component: Component) -> str | None:
    """Return the component's text if it has no wildcard."""
    if component == ():
        return ""
    if component is not None and len(component) == 1 and isinstance(component[0], str):
        return component[0]
    return None


@dataclass(frozen=True, slots=True)
class PathGlobs:
    """Path patterns, any of which may match; equal when their patterns are."""

    patterns: tuple[str, ...]
    parsed: tuple[tuple[Component, ...], ...] = field(init=False, compare=False, repr=False)
    _whole: frozenset[str] = field(init=False, compare=False, repr=False)
    _names: frozenset[str] = field(init=False, compare=False, repr=False)
    _rest: re.Pattern[str] | None = field(init=False, compare=False, repr=False)
    _tails: re.Pattern[str] | None = field(init=False, compare=False, repr=False)
    _abstract: re.Pattern[str] | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        parsed = tuple(parse_path(pattern) for pattern in self.patterns)
        whole, names, rest = set(), set(), []
        for components in parsed:
            literals = [literal(component) for component in components]
            if None not in literals:
                whole.add("/".join(str(text) for text in literals))
            elif len(components) == 2 and components[0] is None and literals[1] is not None:
                names.add(literals[1])
            else:
                rest.append(_path_expression(components))
        pairs = list(zip(parsed, self.patterns, strict=True))
        ends = [components[-1] for components, pattern in pairs if not is_bare(pattern)]
        tails = [".*" if end is None else _component_expression(end) for end in ends]
        object.__setattr__(self, "parsed", parsed)
        object.__setattr__(self, "_whole", frozenset(whole))
        object.__setattr__(self, "_names", frozenset(names))
        object.__setattr__(self, "_rest", _any_of(rest))
        object.__setattr__(self, "_tails", _any_of(tails))
        abstract = [_path_expression(c) for c, p in pairs if p.startswith("@") or p == "**"]
        object.__setattr__(self, "_abstract", _any_of(abstract))

    def matches(self, path: str) -> bool:
        """Return whether any pattern matches the whole path.

        A name that begins with @ is an abstract socket's: only patterns like it, and `**`, match.
        """
        if path.startswith("@"):
            return self._abstract is not None and self._abstract.fullmatch(path) is not None
        if path in self._whole or path.rpartition("/")[2] in self._names:
            return True
        return self._rest is not None and self._rest.fullmatch(path) is not None

    def tail_matches(self, name: str) -> bool:
        """Return whether the last component alone could end a path that matches."""
        return self._tails is not None and self._tails.fullmatch(name) is not None

    def which(self, path: str) -> str | None:
        """Return the first pattern that matches; slow, for explanations."""
        return next((p for p in self.patterns if PathGlobs((p,)).matches(path)), None)


@dataclass(frozen=True, slots=True)
class TextGlobs:
    """Patterns over a command line or one argument: `*` matches anything, slash and space too."""

    patterns: tuple[str, ...]
    _all: re.Pattern[str] | None = field(init=False, compare=False, repr=False)
    _heads: tuple[str, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        parsed = [_atoms(pattern, pattern, path=False) for pattern in self.patterns]
        heads = tuple(a[0] if a and isinstance(a[0], str) else "" for a in parsed)
        object.__setattr__(self, "_all", _any_of([_expression(a, ".*", ".") for a in parsed]))
        object.__setattr__(self, "_heads", heads)

    def matches(self, text: str) -> bool:
        """Return whether any pattern matches the whole text."""
        return self._all is not None and self._all.fullmatch(text) is not None

    def could_begin(self, text: str) -> bool:
        """Return whether any pattern could match a longer text that begins with this one."""
        return any(text.startswith(head) or head.startswith(text) for head in self._heads)

    def which(self, text: str) -> str | None:
        """Return the first pattern that matches; slow, for explanations."""
        return next((p for p in self.patterns if TextGlobs((p,)).matches(text)), None)


def _any_of(expressions: Sequence[str]) -> re.Pattern[str] | None:
    if not expressions:
        return None
    # Patterns that begin with `**/` share one scan over the slashes.
    lead = "(?:.*/)?"
    floating = [e.removeprefix(lead) for e in expressions if e.startswith(lead)]
    fixed = [e for e in expressions if not e.startswith(lead)]
    if floating:
        fixed.append(f"{lead}(?:{'|'.join(floating)})")
    return re.compile("|".join(f"(?:{e})" for e in fixed), re.DOTALL)

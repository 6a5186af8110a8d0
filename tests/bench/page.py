"""docs/performance.md: what of it a run writes. Figures stand between markers, prose around them.

<!-- bench: processes -->     made by tests/bench, not by hand
<!-- end: processes -->
"""

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "performance.md"
MACHINE = "machine"
COMMAND = "sudo tests/run --only bench"
_BEGIN = re.compile(r"^<!-- bench: ([a-z-]+) -->$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page. A module tests/bench/test_*.py has one, as `SECTION`."""

    name: str  # in the markers; lower case and hyphens
    title: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text: each row has as many cells as the heads."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Return it as Markdown."""
        ragged = [row for row in self.rows if len(row) != len(self.heads)]
        if ragged:
            raise ValueError(f"{self.title}: a row has not {len(self.heads)} cells: {ragged[0]}")
        line = ["---", *("---:" for _ in self.heads[1:])]
        rows = "\n".join(f"| {' | '.join(row)} |" for row in (self.heads, line, *self.rows))
        return f"**{self.title}**\n\n{rows}\n"


@dataclass(frozen=True, slots=True)
class Aim:
    """What Holdfast wants to reach, and whether this run has. Never a reason for a test to fail."""

    words: str
    measured: str
    met: bool


def aims_table(aims: Sequence[Aim]) -> Table:
    """Return the aims as a table."""
    rows = [(aim.words, aim.measured, "met" if aim.met else "**missed**") for aim in aims]
    return Table("Aims", ("Aim", "Measured", ""), rows)


def sections() -> list[Section]:
    """Return the section of every module of the bench, in the order of their file names."""
    modules = [path.stem for path in sorted(HERE.glob("test_*.py"))]
    found = [importlib.import_module(f"tests.bench.{name}").SECTION for name in modules]
    assert all(isinstance(one, Section) for one in found)
    return found


def marked(text: str) -> list[str]:
    """Return the names of the marked parts of a page, in order; ValueError if one is broken."""
    names = _BEGIN.findall(text)
    for name in names:
        begin, end = _markers(name)
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            raise ValueError(f"the markers of {name!r} are not one pair")
    return names


def part(text: str, name: str) -> str:
    """Return what stands between the markers of a name."""
    begin, end = _markers(name)
    return text[text.index(begin) + len(begin) : text.index(end)].strip("\n")


def filled(text: str, parts: Mapping[Section, str]) -> str:
    """Return the page with these parts between their markers; a new section comes at the end."""
    for section, body in parts.items():
        if section.name not in marked(text):
            text = f"{text.rstrip()}\n\n## {section.title}\n\n{_wrapped(section.name, '')}\n"
        begin, end = _markers(section.name)
        start, stop = text.index(begin), text.index(end) + len(end)
        text = text[:start] + _wrapped(section.name, body) + text[stop:]
    return text


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- bench: {name} -->", f"<!-- end: {name} -->"


def _wrapped(name: str, body: str) -> str:
    begin, end = _markers(name)
    inner = body.strip("\n")
    return f"{begin}\n\n{inner}\n\n{end}" if inner else f"{begin}\n\n{end}"

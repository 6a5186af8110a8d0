"""Errors of the rules.

RulesError
├── GlobError      a pattern that cannot be meant
├── ExampleError   an example that is not an act
└── RuleErrors     everything wrong with a set of rule files, each with file:line:column
"""

from dataclasses import dataclass

_LONGEST = 400
_MOST_SHOWN = 100


class RulesError(Exception):
    """Base of everything that this package raises."""


class _AuthorError(RulesError):
    """Something its author wrote; `problem` and `remedy` are words, the place is the caller's."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{_cut(problem)}; {_cut(remedy)}")
        self.problem = problem
        self.remedy = remedy


class GlobError(_AuthorError):
    """A pattern that cannot be meant."""


class ExampleError(_AuthorError):
    """An example that is not an act in the one-line form."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands: file, and line and column from 1 (0, 0: the file as a whole)."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong: where, what, and what to do about it."""

    place: Place
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.place}: {_cut(self.problem)}; {_cut(self.remedy)}"


class RuleErrors(RulesError):  # noqa: N818 - it is many errors
    """Everything wrong with the rule files, in order of place; nothing of them was taken."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = tuple(sorted(problems))
        lines = [str(problem) for problem in self.problems[:_MOST_SHOWN]]
        if more := len(self.problems) - len(lines):
            lines.append(f"{self.problems[-1].place.file}: and {more} more; mend these first")
        super().__init__("\n".join(lines))


def _cut(words: str) -> str:
    """Return words that quote a file, which may have a megabyte in one of its lines, in short."""
    if len(words) <= _LONGEST:
        return words
    # Its beginning says which text it is, its end what is wrong with it.
    return f"{words[: _LONGEST - 100]}… ({len(words) - _LONGEST} more characters) …{words[-100:]}"

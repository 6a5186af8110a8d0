"""Takes secrets out of what leaves a host, or a centre, and leaves marks in their place."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from wire.acts import Act, Kind, Process
from wire.redaction.finder import Finder, Found
from wire.redaction.marks import mark
from wire.redaction.settings import Settings


class Redactor:
    """`key` makes the marks of this host its own; without one they say only what was there."""

    def __init__(self, settings: Settings | None = None, key: bytes | None = None) -> None:
        self._key = key
        self._finder = Finder(settings)
        self._again = Finder(settings, again=True)
        self._is_clean = lru_cache(maxsize=4096)(self._has_nothing)

    def text(self, text: str) -> str:
        """Return a text from outside, in which even an imitation of a mark gets one."""
        return self._marked(text, self._finder.in_text(text))

    def words(self, text: str) -> str:
        """Return words of ours, which may quote what has marks already: those stay."""
        return self._marked(text, self._again.in_text(text))

    def path(self, text: str) -> str:
        """Return a path; a part of one is no secret only since it looks random."""
        return self._marked(text, self._finder.in_text(text, random=False))

    def arguments(self, argv: Sequence[str], *, cut: bool = False) -> tuple[str, ...]:
        """Return the arguments of a command; `cut`: the end of the last one is missing."""
        found = self._finder.in_arguments(argv, cut=cut)
        return tuple(map(self._marked, argv, found))

    def variables(self, variables: Mapping[str, str], *, again: bool = False) -> dict[str, str]:
        """Return environment variables, or anything else by name; `again`: as in `words`."""
        finder = self._again if again else self._finder
        return {
            self._marked(name, finder.in_text(name)): self._marked(
                value, finder.in_variable(name, value)
            )
            for name, value in variables.items()
        }

    def act(self, act: Act) -> Act:
        """Return an act as it may leave; the very same if nothing is to be taken out.

        Acts that differ before differ afterwards: every mark is one of what it stands for.
        """
        if self._has_paths_only(act) and all(map(self._is_clean, _paths(act))):
            return act  # as nearly all of a flood
        argv = self.arguments(act.argv, cut=act.argv_cut) if act.argv else ()
        taken = {
            "executable": self.path(act.executable),
            "filename": self.path(act.filename),
            "argv": argv,
            "cwd": self.path(act.cwd),
            "environment": None if act.environment is None else self.variables(act.environment),
            "path": self.path(act.path),
            "second_path": self._second(act),
            "address": self.path(act.address),
            "operation": self.path(act.operation),
            "process": self._process(act.process),
            "ancestors": tuple(map(self._process, act.ancestors)),
            "target": None if act.target is None else self._process(act.target),
        }
        changed: dict[str, Any] = {
            name: value for name, value in taken.items() if value != getattr(act, name)
        }
        if not changed:
            return act
        if "argv" in changed:
            # Its length would tell that of the secret.
            changed["argv_bytes"] = max(act.argv_bytes - _size(act.argv) + _size(argv), 0)
        return replace(act, **changed)

    @staticmethod
    def _has_paths_only(act: Act) -> bool:
        return not (
            act.argv
            or act.process.argv
            or act.ancestors
            or act.environment
            or act.target
            or act.kind is Kind.SYMLINK
        )

    def _second(self, act: Act) -> str:
        # The text of a symbolic link need not be a path.
        return (
            self.text(act.second_path) if act.kind is Kind.SYMLINK else self.path(act.second_path)
        )

    def _has_nothing(self, path: str) -> bool:
        return not path or not self._finder.in_text(path, random=False)

    def _process(self, process: Process) -> Process:
        argv = self.arguments(process.argv) if process.argv else ()
        comm = self.path(process.comm)
        if argv == process.argv and comm == process.comm:
            return process
        return replace(process, argv=argv, comm=comm)

    def _marked(self, text: str, found: Sequence[Found]) -> str:
        if not found:
            return text
        parts, at = [], 0
        for start, end, kind in found:
            parts += [text[at:start], mark(kind, text[start:end], self._key)]
            at = end
        return "".join((*parts, text[at:]))


def _paths(act: Act) -> tuple[str, ...]:
    return (
        act.path,
        act.executable,
        act.process.comm,
        act.filename,
        act.cwd,
        act.second_path,
        act.address,
        act.operation,
    )


def _size(argv: Sequence[str]) -> int:
    return sum(len(argument.encode("utf-8", "surrogatepass")) + 1 for argument in argv)

"""Rule files to a rule set, all or nothing: a problem anywhere leaves the caller what it had."""

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from rules import yamltree
from rules.errors import Place, Problem, RuleErrors
from rules.lint import lint
from rules.model import Rule, RuleSet
from rules.reading import Reader
from rules.schema import KEYS, read_rule

PACKS = Path(__file__).parent / "packs"


def load(paths: Sequence[Path]) -> RuleSet:
    """Return the rules of files and of directories' *.yaml, which are not searched deeper.

    Raises RuleErrors with everything that is wrong in any of them.
    """
    sources: list[tuple[str, bytes]] = []
    problems: list[Problem] = []
    if not paths:
        problems.append(Problem(Place("rules"), "no rule file is named", "name at least one"))
    for path in _files(paths, problems):
        try:
            sources.append((str(path), _read(path)))
        except OSError as error:
            problems.append(_unreadable(path, error))
    return _load(sources, problems)


def load_texts(sources: Sequence[tuple[str, bytes]]) -> RuleSet:
    """Return the rules of files given as (name, bytes); raise RuleErrors as load does."""
    return _load(sources, [])


def _load(sources: Sequence[tuple[str, bytes]], problems: list[Problem]) -> RuleSet:
    rules: list[Rule] = []
    for name, data in sources:
        reader = Reader()
        try:
            rules.extend(_rules_of(reader, yamltree.parse(name, data)))
        except RuleErrors as errors:
            problems.extend(errors.problems)
        problems.extend(reader.problems)
    problems.extend(_twice(rules))
    if problems:
        raise RuleErrors(tuple(problems))
    return RuleSet(tuple(rules), warnings=lint(RuleSet(tuple(rules))))


def _files(paths: Sequence[Path], problems: list[Problem]) -> Iterable[Path]:
    for path in paths:
        try:
            entries = sorted(path.iterdir()) if path.is_dir() else None
        except OSError as error:
            problems.append(_unreadable(path, error))
            continue
        if entries is None:
            yield path
            continue
        found = [entry for entry in entries if entry.suffix == ".yaml"]
        # A rule file that is passed over in silence protects nothing.
        for entry in entries:
            if entry.suffix == ".yml":
                problems.append(
                    Problem(Place(str(entry)), "only *.yaml is read", "rename it to .yaml")
                )
        if not found:
            problems.append(
                Problem(Place(str(path)), "the directory has no *.yaml", "put rule files into it")
            )
        yield from found


def _read(path: Path) -> bytes:
    # Without O_NONBLOCK a FIFO in the directory would hold up the agent's start for good.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is not a regular file")
        return file.read(yamltree.LARGEST + 1)


def _unreadable(path: Path, error: OSError) -> Problem:
    return Problem(
        Place(str(path)),
        f"cannot be read ({error.strerror or error})",
        "check that the file exists and that this user may read it",
    )


def _rules_of(reader: Reader, node: yamltree.Node) -> list[Rule]:
    keys = reader.keys(node, KEYS["file"], "the file")
    if keys is None:
        return []
    listed = keys.get("rules")
    if listed is None:
        if not reader.problems:
            reader.refuse(node.place, "the file has no rules", "write `rules:` and a list")
        return []
    if not isinstance(listed, yamltree.Sequence) or not listed.items:
        reader.refuse(
            listed.place, "rules is not a list of rules", "write `rules:` and `- id: ...`"
        )
        return []
    rules = [read_rule(reader, item) for item in listed.items]
    return [rule for rule in rules if rule is not None]


def _twice(rules: Sequence[Rule]) -> Iterable[Problem]:
    first: dict[str, Rule] = {}
    for rule in rules:
        if rule.id in first:
            yield Problem(
                rule.origin,
                f"the id {rule.id!r} is taken by {first[rule.id].place}",
                "give each rule an id of its own",
            )
        first.setdefault(rule.id, rule)

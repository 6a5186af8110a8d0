"""The rules in force on this host: loaded, kept when a new set is broken, asked about acts."""

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.errors import ConfigError
from rules.errors import RuleErrors
from rules.load import load
from rules.match import decide, facts
from rules.model import Action, RuleSet
from rules.modes import HostMode, in_effect, powerless, words
from rules.superset import KernelTables, compile_tables
from wire.acts import Act
from wire.messages import RuleFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """What the rules say to one act. `action` and `rule` are None when none matches.

    `timeout_ns` is how long a person has; 0 for as long as it takes.
    """

    action: Action | None
    rule: RuleFacts | None
    timeout_ns: int = 0


class RuleBook:
    """The rule files and what was last read from them without an error.

    `subjects` are the names that are watched here. An act of any other name is of a process that
    was labelled under a name the configuration no longer has: every rule for certain subjects is
    taken as one about it, unless it allows. None: each name is taken as it is. `mode` is what the
    host's kernel side can do: rules that it cannot put into effect have no say.
    """

    def __init__(
        self, paths: Sequence[Path], subjects: Collection[str] | None, mode: HostMode
    ) -> None:
        self._paths = tuple(paths)
        self._subjects = None if subjects is None else frozenset(subjects)
        self._mode = mode
        self._set = _load(self._paths)
        self._seen, self._strictest = self._heard(self._set)
        self.tables = compile_tables(self._set, mode)
        self._inodes = _inodes(self.tables)

    @property
    def rules(self) -> RuleSet:
        """The rule set in force."""
        return self._set

    @property
    def digest(self) -> str:
        """Digest of the rule set in force."""
        return self._set.digest

    def reload(self, put_in_force: Callable[[KernelTables], None]) -> RuleSet:
        """Read the files again; the old rules stay unless all of it works.

        Raises ConfigError with each problem as file:line:column, or what `put_in_force` raises.
        """
        fresh = _load(self._paths)
        tables = compile_tables(fresh, self._mode)
        put_in_force(tables)
        self._set, self.tables = fresh, tables
        self._seen, self._strictest = self._heard(fresh)
        self._inodes = _inodes(tables)
        return fresh

    def without_effect(self) -> tuple[str, ...]:
        """Return, for people, what the mode cannot put into effect of the rules in force."""
        return words(self._set, self._mode)

    def powerless(self) -> tuple[str, ...]:
        """Return the ids of the rules that have no effect at all in the mode."""
        return tuple(rule.id for rule in powerless(self._set, self._mode))

    def _heard(self, rules: RuleSet) -> tuple[RuleSet, RuleSet]:
        seen = in_effect(rules, self._mode)
        return seen, _strictest(seen)

    def decide(self, act: Act, *, fresh: bool = False) -> Ruled:
        """Return what the rules say. `fresh` looks the named files up again, for a held act."""
        if fresh and act.inode:
            self._inodes = _inodes(self.tables)
        aliases = self._inodes.get((act.device, act.inode), ()) if act.inode else ()
        known = self._subjects is None or act.subject in self._subjects
        ruling = decide(self._seen if known else self._strictest, act, aliases)
        if ruling.rule is None:
            return Ruled(action=None, rule=None)
        return Ruled(
            action=ruling.action,
            rule=facts(ruling.rule, self._set),
            timeout_ns=int((ruling.rule.timeout_s or 0) * 1_000_000_000),
        )


def _load(paths: Sequence[Path]) -> RuleSet:
    try:
        return load(paths)
    except RuleErrors as error:
        raise ConfigError(f"{error}") from error


def _strictest(rules: RuleSet) -> RuleSet:
    """Return the rules as they are read for a subject that may be any of those they name."""
    return RuleSet(
        tuple(
            replace(rule, subjects=frozenset())
            for rule in rules.rules
            if not (rule.subjects and rule.action is Action.ALLOW)
        )
    )


def _inodes(tables: KernelTables) -> dict[tuple[int, int], tuple[str, ...]]:
    """Return the paths that rules name in full, by the file that each is at this moment.

    So a bind mount or a hard link of such a file is known as the file that it is.
    """
    found: dict[tuple[int, int], tuple[str, ...]] = {}
    for _, path in tables.literals:
        try:
            seen = os.stat(path)
        except OSError:  # not there now
            continue
        name = (seen.st_dev, seen.st_ino)
        if path not in found.get(name, ()):
            found[name] = (*found.get(name, ()), path)
    return found

"""What of the rules the kernel matches: tables that let through at least every act a rule is about.

An act that a rule would ask about and the kernel passes over is lost, so each step here may only
widen. Every look-up adds its bits; a look-up by longest match finds one entry, which therefore
carries the bits of the shorter ones. Where the kernel cannot look, it must assume everything: of a
path that it had to cut, and of an unresolved socket name with an empty, `.` or `..` component
(`widest`), and of a sendmmsg with more addresses than it inspected (`uninspected`).
"""

from dataclasses import dataclass, replace

from rules.addresses import Network
from rules.globs import PathGlobs, is_bare, literal, parse_path
from rules.index import Index, Table, Way, index_of
from rules.model import (
    Action,
    ChangeMatch,
    ConnectMatch,
    ExecMatch,
    ListenMatch,
    Match,
    OpenMatch,
    PowerMatch,
    Rule,
    RuleSet,
    kinds_of,
)
from rules.modes import KINDS, HostMode, in_effect
from rules.regions import (
    MOST_PORTS,
    ByTransport,
    NetworkWant,
    networks_of,
    reaches_network,
    reaches_unix,
)
from rules.wants import (
    NOTHING,
    OTHER,
    Want,
    observe_bit,
    stop_bit,
    union,
    want_of,
    want_of_kind,
)
from wire.acts import KINDS_OF_CHANGE, Kind
from wire.messages import OnDeny, OnNoAgent

Paths = dict[tuple[Table, str], Want]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelTables:
    """Everything that the kernel looks up.

    `prefixes` and `exact` are one longest match over path + NUL. The prefix "" stands for names
    that do not begin with a slash; the entry "/" is then there to end its reach. `components`
    are whole names cut to 31 bytes, `suffixes` a longest match from the end, `anything` bits for
    every path of the table. `networks` is a longest match too; an IPv4-mapped IPv6 address is
    looked up as the IPv4 address. `literals` are whole paths, whose inodes can be watched as well.
    `other` has the bits of the kinds without a file (see `stop_bit`).
    """

    prefixes: Paths
    exact: Paths
    components: Paths
    suffixes: Paths
    anything: dict[Table, Want]
    networks: dict[Network, NetworkWant]
    literals: Paths
    kinds: frozenset[Kind]
    uninspected: Want = NOTHING  # for a sendmmsg whose addresses were not all inspected
    other: Want = NOTHING

    def widest(self, table: Table) -> Want:
        """Return all bits that any path of the table could get."""
        parts = (self.prefixes, self.exact, self.components, self.suffixes)
        found = union(w for part in parts for (t, _), w in part.items() if t is table)
        return found | self.anything.get(table, NOTHING)


def compile_tables(rules: RuleSet, mode: HostMode) -> KernelTables:
    """Return the kernel's superset of the rules; pure, and the same for any order of rules.

    What the mode cannot see or do is left out.
    """
    seen = in_effect(rules, mode)
    wanted = [_as_done(rule, mode) for rule in seen.rules if rule.action is not Action.ALLOW]
    paths = _PathTables(KINDS[mode])
    for rule in wanted:
        paths.add_rule(rule)
    return KernelTables(
        prefixes=paths.all_prefixes(),
        exact=paths.all_exact(),
        components=paths.entries[Way.COMPONENT],
        suffixes=paths.all_suffixes(),
        anything=paths.anything,
        networks=networks_of([r for r in wanted if isinstance(r.match, ConnectMatch)]),
        literals=paths.literals,
        kinds=frozenset(kind for rule in wanted for kind in kinds_of(rule.match)) & KINDS[mode],
        other=union(
            want_of_kind(kind, rule) for rule in wanted for kind in _without_file(rule.match)
        ),
        uninspected=union(
            want_of(rule)
            for rule in wanted
            if isinstance(rule.match, ConnectMatch) and reaches_network(rule.match)
        ),
    )


def _as_done(rule: Rule, mode: HostMode) -> Rule:
    """Return the rule as a mode puts it into effect."""
    if mode is HostMode.GATE:
        return rule
    # Such a kernel side knows nothing of what goes with a stop, so it must not read it.
    return replace(rule, on_deny=OnDeny.KILL, on_no_agent=OnNoAgent.ALLOW)


def _without_file(match: Match) -> frozenset[Kind]:
    return kinds_of(match) if isinstance(match, ListenMatch | PowerMatch) else frozenset()


class _PathTables:
    """Gathers each pattern's own bits, then spreads them to the longer entries they reach."""

    def __init__(self, kinds: frozenset[Kind]) -> None:
        self._kinds = kinds
        self.entries: dict[Way, Paths] = {way: {} for way in Way}
        self.anything: dict[Table, Want] = {}
        self.literals: Paths = {}
        self.relative: dict[Table, Want] = {}

    def add_rule(self, rule: Rule) -> None:
        match, want = rule.match, want_of(rule)
        if isinstance(match, ExecMatch):
            self._add(Table.EXEC, match.path, want)
        elif isinstance(match, OpenMatch):
            self._add(Table.OPEN, match.path, want)
        elif isinstance(match, ConnectMatch) and reaches_unix(match):
            self._add(Table.UNIX, match.path, want)
        if isinstance(match, OpenMatch | ChangeMatch):
            for kind in kinds_of(match) & self._kinds & frozenset(KINDS_OF_CHANGE):
                # What is mounted goes by its caller's name, which nothing could look up.
                path = None if kind is Kind.MOUNT else match.path
                self._add(Table.CHANGE, path, want_of_kind(kind, rule))

    def _add(self, table: Table, globs: PathGlobs | None, want: Want) -> None:
        if globs is None:
            self.anything[table] = self.anything.get(table, NOTHING) | want
            return
        for pattern in globs.patterns:
            index = index_of(pattern, table)
            self._add_index(table, index, want)
            names = [literal(component) for component in parse_path(pattern)]
            if None not in names and not is_bare(pattern):
                _put(self.literals, (table, pattern), want)

    def _add_index(self, table: Table, index: Index, want: Want) -> None:
        if index.way is Way.ANYTHING:
            self.anything[table] = self.anything.get(table, NOTHING) | want
        else:
            _put(self.entries[index.way], (table, index.key), want)
        if index.relative_too:
            self.relative[table] = self.relative.get(table, NOTHING) | want

    def _reaching(self, table: Table, path: str) -> Want:
        """Return the bits of every prefix that `path` begins with."""
        own = self.entries[Way.PREFIX]
        found = union(own.get((table, path[:end]), NOTHING) for end in range(1, len(path) + 1))
        return found if path.startswith("/") else found | self.relative.get(table, NOTHING)

    def all_prefixes(self) -> Paths:
        keys = set(self.entries[Way.PREFIX])
        for table in self.relative:
            keys |= {(table, ""), (table, "/")}
        return {(table, path): self._reaching(table, path) for table, path in sorted(keys)}

    def all_exact(self) -> Paths:
        own = self.entries[Way.EXACT]
        return {
            (table, path): want | self._reaching(table, path) for (table, path), want in own.items()
        }

    def all_suffixes(self) -> Paths:
        own = self.entries[Way.SUFFIX]
        return {
            (table, text): union(own.get((table, text[n:]), NOTHING) for n in range(len(text)))
            for table, text in own
        }


def _put(paths: Paths, key: tuple[Table, str], want: Want) -> None:
    paths[key] = paths.get(key, NOTHING) | want


__all__ = [
    "MOST_PORTS",
    "NOTHING",
    "OTHER",
    "ByTransport",
    "KernelTables",
    "NetworkWant",
    "Table",
    "Want",
    "compile_tables",
    "observe_bit",
    "reaches_network",
    "reaches_unix",
    "stop_bit",
]

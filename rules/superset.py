"""What of the rules the kernel matches: tables that let through at least every act a rule is about.

An act that a rule would ask about and the kernel passes over is lost, so each step here may only
widen. Every look-up adds its bits; a look-up by longest match finds one entry, which therefore
carries the bits of the shorter ones. Where the kernel cannot look, it must assume everything: of a
path that it had to cut, and of an unresolved socket name with an empty, `.` or `..` component
(`widest`), and of a sendmmsg with more addresses than it inspected (`uninspected`).
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntFlag
from functools import reduce
from operator import or_

from rules.addresses import Network, Ports
from rules.globs import PathGlobs, is_bare, literal, parse_path
from rules.index import Index, Table, Way, index_of
from rules.model import (
    Action,
    ConnectMatch,
    ExecMatch,
    Mode,
    OpenMatch,
    Rule,
    RuleSet,
    kinds_of,
)
from wire.acts import KINDS_OF_CHANGE, KINDS_WITHOUT_FILE, Kind, Transport


class Want(IntFlag):
    """What the rules want of an act. exec and connect use the READ bits only.

    An open for neither reading nor writing (O_PATH) counts as one for reading. What lies in
    Table.CHANGE and in the slot OTHER has `observe_bit` and `stop_bit` of a kind instead of the
    first four. The last three go with a stop, in every table. All are such that more of them,
    from a rule that does not apply, is never less strict: an act for which no rule says
    NO_AGENT_DENY or NO_AGENT_HOLD is one that all rules let pass while there is no agent.
    """

    OBSERVE_READ = 1
    OBSERVE_WRITE = 2
    STOP_READ = 4
    STOP_WRITE = 8
    REFUSE = 1 << 28  # a rule may want the call refused instead of the process killed
    NO_AGENT_DENY = 1 << 29
    NO_AGENT_HOLD = 1 << 30


NOTHING = Want(0)
# Of hf_anything: what is wanted of the kinds that have no file to look up.
OTHER = 7


def observe_bit(kind: Kind) -> Want:
    """Return the bit of an observation in Table.CHANGE, or in OTHER, by the kind."""
    return Want(1 << 2 * _place(kind))


def stop_bit(kind: Kind) -> Want:
    """Return the bit of a stop in Table.CHANGE, or in OTHER, by the kind."""
    return Want(2 << 2 * _place(kind))


def _place(kind: Kind) -> int:
    if kind in KINDS_OF_CHANGE:
        return KINDS_OF_CHANGE.index(kind)
    return KINDS_WITHOUT_FILE.index(kind)


Paths = dict[tuple[Table, str], Want]
# More ports than this in one rule are taken as every port: the kernel stores them one by one.
MOST_PORTS = 256


@dataclass(frozen=True, slots=True)
class ByTransport:
    """What is wanted of acts by TCP, by UDP, and by whatever else there is: raw IP and the rest."""

    tcp: Want = NOTHING
    udp: Want = NOTHING
    other: Want = NOTHING

    @classmethod
    def every(cls, want: Want) -> "ByTransport":
        """Return the same for each."""
        return cls(want, want, want)

    @property
    def packed(self) -> int:
        """As the kernel has it: four bits each."""
        return self.tcp | self.udp << 4 | self.other << 8


@dataclass(frozen=True, slots=True)
class NetworkWant:
    """What is wanted of one prefix. A port that is listed has only the bits listed for it."""

    any_port: ByTransport
    ports: dict[int, ByTransport] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelTables:
    """Everything that the kernel looks up.

    `prefixes` and `exact` are one longest match over path + NUL. The prefix "" stands for names
    that do not begin with a slash; the entry "/" is then there to end its reach. `components`
    are whole names cut to 31 bytes, `suffixes` a longest match from the end, `anything` bits for
    every path of the table. `networks` is a longest match too; an IPv4-mapped IPv6 address is
    looked up as the IPv4 address. `literals` are whole paths, whose inodes can be watched as well.
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

    def widest(self, table: Table) -> Want:
        """Return all bits that any path of the table could get."""
        parts = (self.prefixes, self.exact, self.components, self.suffixes)
        found = _union(w for part in parts for (t, _), w in part.items() if t is table)
        return found | self.anything.get(table, NOTHING)


def compile_tables(rules: RuleSet) -> KernelTables:
    """Return the kernel's superset of the rules; pure, and the same for any order of rules."""
    wanted = [rule for rule in rules.rules if rule.action is not Action.ALLOW]
    paths = _PathTables()
    for rule in wanted:
        paths.add_rule(rule)
    return KernelTables(
        prefixes=paths.all_prefixes(),
        exact=paths.all_exact(),
        components=paths.entries[Way.COMPONENT],
        suffixes=paths.all_suffixes(),
        anything=paths.anything,
        networks=_networks([r for r in wanted if isinstance(r.match, ConnectMatch)]),
        literals=paths.literals,
        kinds=frozenset(kind for rule in wanted for kind in kinds_of(rule.match)),
        uninspected=_union(
            _want(rule)
            for rule in wanted
            if isinstance(rule.match, ConnectMatch) and reaches_network(rule.match)
        ),
    )


def _union(wants: Iterable[Want]) -> Want:
    return reduce(or_, wants, NOTHING)


def _want(rule: Rule) -> Want:
    """Return the bits of a rule; for an open, of the modes that it is about."""
    observe = rule.action is Action.OBSERVE
    read = Want.OBSERVE_READ if observe else Want.STOP_READ
    if not isinstance(rule.match, OpenMatch):
        return read
    write = Want.OBSERVE_WRITE if observe else Want.STOP_WRITE
    modes = rule.match.mode or frozenset(Mode)
    return (read if Mode.READ in modes else NOTHING) | (write if Mode.WRITE in modes else NOTHING)


class _PathTables:
    """Gathers each pattern's own bits, then spreads them to the longer entries they reach."""

    def __init__(self) -> None:
        self.entries: dict[Way, Paths] = {way: {} for way in Way}
        self.anything: dict[Table, Want] = {}
        self.literals: Paths = {}
        self.relative: dict[Table, Want] = {}

    def add_rule(self, rule: Rule) -> None:
        match, want = rule.match, _want(rule)
        if isinstance(match, ExecMatch):
            self._add(Table.EXEC, match.path, want)
        elif isinstance(match, OpenMatch):
            self._add(Table.OPEN, match.path, want)
        elif reaches_unix(match):
            self._add(Table.UNIX, match.path, want)

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
        found = _union(own.get((table, path[:end]), NOTHING) for end in range(1, len(path) + 1))
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
            (table, text): _union(own.get((table, text[n:]), NOTHING) for n in range(len(text)))
            for table, text in own
        }


def _put(paths: Paths, key: tuple[Table, str], want: Want) -> None:
    paths[key] = paths.get(key, NOTHING) | want


def reaches_unix(match: ConnectMatch) -> bool:
    """Return whether a unix socket could meet the conditions."""
    if match.address is not None or match.port is not None:
        return False
    return match.transport is None or Transport.UNIX in match.transport


def reaches_network(match: ConnectMatch) -> bool:
    """Return whether anything but a unix socket could meet the conditions."""
    if match.path is not None:
        return False
    return match.transport is None or match.transport != {Transport.UNIX}


def _networks(rules: list[Rule]) -> dict[Network, NetworkWant]:
    """Return what is wanted of each prefix that a rule names, and of all the rest."""
    about = [
        (rule.match, _want(rule))
        for rule in rules
        if isinstance(rule.match, ConnectMatch) and reaches_network(rule.match)
    ]
    if not about:
        return {}
    regions: set[Network] = {ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0")}
    for match, _ in about:
        for networks in (match.address, match.negated and match.negated.address):
            regions.update(networks.networks if networks else ())
    return {region: _region(region, about) for region in regions}


def _region(region: Network, about: list[tuple[ConnectMatch, Want]]) -> NetworkWant:
    here = [(match, want) for match, want in about if _concerns(match, region)]
    named: set[int] = set()
    for match, _ in here:
        named |= _listed(match.port) | _listed(match.negated.port if match.negated else None)
    any_port = _by_transport([(m, want) for m, want in here if _listed_none(m.port)])
    ports = {}
    for port in sorted(named):
        wants = _by_transport([(m, want) for m, want in here if _takes(m, port)])
        if wants != any_port:
            ports[port] = wants
    return NetworkWant(any_port, ports)


def _by_transport(about: list[tuple[ConnectMatch, Want]]) -> ByTransport:
    def of(*transports: Transport) -> Want:
        return _union(
            want
            for match, want in about
            if match.transport is None or not match.transport.isdisjoint(transports)
        )

    return ByTransport(of(Transport.TCP), of(Transport.UDP), of(Transport.RAW, Transport.OTHER))


def _concerns(match: ConnectMatch, region: Network) -> bool:
    if match.address is not None and not match.address.cover(region):
        return False
    excepted = match.negated.address if match.negated else None
    return excepted is None or not excepted.cover(region)


def _listed(ports: Ports | None) -> frozenset[int]:
    return frozenset() if ports is None or ports.count() > MOST_PORTS else ports.each()


def _listed_none(ports: Ports | None) -> bool:
    return ports is None or ports.count() > MOST_PORTS


def _takes(match: ConnectMatch, port: int) -> bool:
    if not _listed_none(match.port) and port not in _listed(match.port):
        return False
    return port not in _listed(match.negated.port if match.negated else None)


__all__ = [
    "MOST_PORTS",
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

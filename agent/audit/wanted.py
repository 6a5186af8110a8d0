"""What the rules' tables want of an act: what BPF programs look up in the other modes, here.

audit's own rules let through far more than the tables do, since they can compare hardly anything.
"""

import os
import time
from collections.abc import Mapping
from functools import cached_property

from rules.addresses import Network, parse_address
from rules.index import NAME_BYTES
from rules.superset import KernelTables, Table, Want
from wire.acts import Act, Kind, Transport

_NOTHING = Want(0)
_READ = Want.OBSERVE_READ | Want.STOP_READ
_WRITE = Want.OBSERVE_WRITE | Want.STOP_WRITE
STOP = Want.STOP_READ | Want.STOP_WRITE
# A file that a rule names in full may be put in place at any time.
_LOOK_AGAIN_S = 1.0


class Wanted:
    """The tables of one rule set, ready for look-ups."""

    def __init__(self, tables: KernelTables) -> None:
        self._tables = tables
        self._paths = {table: _Names(tables, table) for table in Table}
        self._inodes: dict[tuple[Table, int, int], Want] = {}
        self._looked = -_LOOK_AGAIN_S

    def of(self, act: Act) -> Want:
        """Return what is wanted of an act; what is not known of it is taken as the widest."""
        if act.kind not in self._tables.kinds:
            return _NOTHING
        if act.kind is Kind.EXEC:
            found = self._path(Table.EXEC, act.executable, cut=act.path_cut)
            found |= self._path(Table.EXEC, act.filename, cut=False)
            return found | self._file(Table.EXEC, act)
        if act.kind is Kind.OPEN:
            found = self._path(Table.OPEN, act.path, cut=act.path_cut)
            return (found | self._file(Table.OPEN, act)) & _modes(act)
        return self._reach(act)

    def _file(self, table: Table, act: Act) -> Want:
        """Return what is wanted of a file that a rule names in full, by whatever name it goes."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_AGAIN_S:
            self._looked = now
            self._inodes = _inodes(self._tables)
        return self._inodes.get((table, act.device, act.inode), _NOTHING)

    def _reach(self, act: Act) -> Want:
        found = _NOTHING
        if act.transport is Transport.UNIX or (act.transport is None and act.path):
            vague = act.addresses_cut or act.path_cut or _unclean(act.path)
            return self._path(Table.UNIX, act.path, cut=vague) | self._file(Table.UNIX, act)
        if act.addresses_cut:
            return self._tables.uninspected | (
                self._tables.widest(Table.UNIX) if act.transport is None else found
            )
        return self._network(act)

    def _path(self, table: Table, path: str, *, cut: bool) -> Want:
        return self._tables.widest(table) if cut else self._paths[table].of(path)

    def _network(self, act: Act) -> Want:
        address = parse_address(act.address)
        if not self._tables.networks or address is None:
            return _NOTHING
        version, number = address
        bits = 32 if version == 4 else 128
        for length in range(bits, -1, -1):
            found = self._networks.get((version, length, number >> (bits - length)))
            if found is None:
                continue
            entry = self._tables.networks[found]
            wants = entry.ports.get(act.port, entry.any_port)
            if act.transport is Transport.TCP:
                return wants.tcp
            if act.transport is Transport.UDP:
                return wants.udp
            return wants.other if act.transport else wants.tcp | wants.udp | wants.other
        return _NOTHING

    @cached_property
    def _networks(self) -> Mapping[tuple[int, int, int], Network]:
        return {
            (
                one.version,
                one.prefixlen,
                int(one.network_address) >> (one.max_prefixlen - one.prefixlen),
            ): one
            for one in self._tables.networks
        }


class _Names:
    """One table of paths: two longest matches, each component, and the rest."""

    def __init__(self, tables: KernelTables, table: Table) -> None:
        self._split = table is not Table.UNIX
        self._anything = tables.anything.get(table, _NOTHING)
        self._prefixes = {key.encode(): w for (t, key), w in tables.prefixes.items() if t is table}
        self._prefixes |= {
            key.encode() + b"\0": want for (t, key), want in tables.exact.items() if t is table
        }
        self._ends = {key.encode(): w for (t, key), w in tables.suffixes.items() if t is table}
        self._components = {
            key.encode(): w for (t, key), w in tables.components.items() if t is table
        }
        self._longest = max(map(len, self._prefixes), default=0)

    def of(self, path: str) -> Want:
        raw = path.encode(errors="replace")
        found = self._anything | self._by_prefix(raw + b"\0") | self._by_end(raw)
        if self._components and (self._split or not path.startswith("@")):
            for name in raw.split(b"/"):
                found |= self._components.get(name[:NAME_BYTES], _NOTHING)
        return found

    def _by_prefix(self, raw: bytes) -> Want:
        for end in range(min(len(raw), self._longest), -1, -1):
            want = self._prefixes.get(raw[:end])
            if want is not None:
                return want
        return _NOTHING

    def _by_end(self, raw: bytes) -> Want:
        for start in range(max(len(raw) - NAME_BYTES, 0), len(raw)):
            want = self._ends.get(raw[start:])
            if want is not None:
                return want
        return _NOTHING


def _inodes(tables: KernelTables) -> dict[tuple[Table, int, int], Want]:
    found: dict[tuple[Table, int, int], Want] = {}
    for (table, path), want in tables.literals.items():
        try:
            seen = os.stat(path)
        except OSError:  # not there now
            continue
        key = (table, seen.st_dev, seen.st_ino)
        found[key] = found.get(key, _NOTHING) | want
    return found


def _modes(act: Act) -> Want:
    flags = set(act.flags)
    bits = _WRITE if flags & {"write", "create", "truncate"} else _NOTHING
    return bits | _READ if "read" in flags or not flags else bits


def _unclean(name: str) -> bool:
    return bool({"", ".", ".."} & set(name.removeprefix("/").split("/")))

"""The rules' superset into the kernel's maps, in two generations: the new one stands first."""

import os
import struct
from collections.abc import Callable, Iterable
from functools import reduce
from ipaddress import IPv4Network, IPv6Network
from operator import or_
from pathlib import Path
from typing import NamedTuple, Protocol

from agent.sensor.bpf import Map
from agent.sensor.records import KIND_NUMBERS
from rules.superset import NOTHING, OTHER, KernelTables, Table, Want
from rules.wants import stop_bit
from wire.acts import KINDS_OF_CHANGE, KINDS_WITHOUT_FILE

_CONFIG = struct.Struct("<Q7I4x")
_PATH_TEXT, _TAIL_TEXT, _NAME_TEXT = 247, 31, 31
_WANT = struct.Struct("<I")
_SIEVE = struct.Struct("<256I256B")
_SIFTED = 3  # letters of an ending that a sieve knows
# Slots of hf_anything beside the tables' own, as in kernel/programs/match.h.
_UNINSPECTED, _UNRESOLVED, _CUT, _SLOTS = 4, 5, 8, 16
_Entry = tuple[Table, bytes, Want]


class AnyMap(Protocol):
    """What is asked of a map; see bpf.Map."""

    def get(self, key: bytes) -> bytes | None: ...
    def set(self, key: bytes, value: bytes) -> bool: ...
    def delete(self, key: bytes) -> bool: ...
    def all_keys(self) -> list[bytes]: ...
    def close(self) -> None: ...


class Config(NamedTuple):
    """struct config, field by field."""

    agent_start_ns: int = 0
    agent_tgid: int = 0
    generation: int = 0
    groups: int = 0
    cgroups: int = 0
    kinds: int = 0
    mount_namespace: int = 0
    stops: int = 0


class RuleTables:
    """The maps that the kernel matches by. One object writes them."""

    def __init__(self, maps: Path, open_map: Callable[[Path, int, int], AnyMap] = Map) -> None:
        """Open the maps under `maps` (a directory of bpffs)."""
        self._config = open_map(maps / "hf_config", 4, _CONFIG.size)
        self._paths = open_map(maps / "hf_paths", 4 + 1 + _PATH_TEXT, 4)
        self._tails = open_map(maps / "hf_tails", 4 + 1 + _TAIL_TEXT, 4)
        self._names = open_map(maps / "hf_names", 1 + _NAME_TEXT, 4)
        self._sieves = open_map(maps / "hf_sieves", 4, _SIEVE.size)
        self._inodes = open_map(maps / "hf_inodes", 16, 4)
        self._anything = open_map(maps / "hf_anything", 4, 4)
        self._net4 = open_map(maps / "hf_net4", 12, 8)
        self._net6 = open_map(maps / "hf_net6", 24, 8)
        self._ports = open_map(maps / "hf_ports", 8, 4)

    def put(self, tables: KernelTables) -> None:
        """Put a rule set in force; OSError if the maps cannot hold it, and then nothing changes."""
        config = self.config()
        fresh = 1 - (config.generation & 1)
        self._clear(fresh)
        try:
            self._fill(tables, fresh)
        except OSError:
            self._clear(fresh)
            raise
        kinds = sum(1 << KIND_NUMBERS[kind] for kind in tables.kinds)
        stops = int(_wants_a_stop(tables))
        # The old half is cleared the next time: a program may be reading it at this moment.
        self._set_config(config._replace(generation=fresh, kinds=kinds, stops=stops))

    def config(self) -> Config:
        """Return struct config."""
        raw = self._config.get(struct.pack("<I", 0)) or bytes(_CONFIG.size)
        return Config._make(_CONFIG.unpack(raw))

    def set_subjects(self, *, agent: tuple[int, int], groups: int, cgroups: bool) -> None:
        """Store the agent's pid and start time, how many groups are watched, and if any cgroup."""
        pid, start_ns = agent
        self._set_config(
            self.config()._replace(
                agent_tgid=pid,
                agent_start_ns=start_ns,
                groups=groups,
                cgroups=int(cgroups),
                mount_namespace=_mount_namespace(),
            )
        )

    def close(self) -> None:
        """Give the descriptors back."""
        others = (self._config, self._sieves, self._anything, self._ports)
        for one in (*others, *self._generations()):
            one.close()

    def _set_config(self, config: Config) -> None:
        self._config.set(struct.pack("<I", 0), _CONFIG.pack(*config))

    def _generations(self) -> Iterable[AnyMap]:
        return (self._paths, self._tails, self._names, self._inodes, self._net4, self._net6)

    def _clear(self, generation: int) -> None:
        for one, at in (
            (self._paths, 4),
            (self._tails, 4),
            (self._names, 0),
            (self._inodes, 12),
        ):
            for key in one.all_keys():
                if key[at] >> 4 == generation:
                    one.delete(key)
        for one in (self._net4, self._net6):
            for key in one.all_keys():
                if key[4] == generation:
                    one.delete(key)
        for key in self._ports.all_keys():
            if struct.unpack_from("<I", key)[0] >> 16 == generation:
                self._ports.delete(key)
        for slot in range(_SLOTS):
            self._put_slot(generation, slot, 0)

    def _fill(self, tables: KernelTables, generation: int) -> None:
        paths = [(*_key(key, _PATH_TEXT), want) for key, want in tables.prefixes.items()]
        # The kernel's text ends in a zero byte, so an exact path is a prefix that includes it.
        paths += [(*_key(key, _PATH_TEXT, b"\0"), want) for key, want in tables.exact.items()]
        self._put_longest(self._paths, paths, _PATH_TEXT, generation)
        tails = [
            (table, os.fsencode(tail)[-_TAIL_TEXT:][::-1], want)
            for (table, tail), want in tables.suffixes.items()
        ]
        self._put_longest(self._tails, tails, _TAIL_TEXT, generation)
        names = [(*_key(key, _NAME_TEXT), want) for key, want in tables.components.items()]
        for (table, raw), want in _merged(names).items():
            key = struct.pack(f"<B{_NAME_TEXT}s", generation << 4 | table, raw)
            self._names.set(key, _WANT.pack(want))
        for table in Table:
            sieve = _sieve(
                [raw for one, raw, _ in names if one is table],
                [raw for one, raw, _ in tails if one is table],
            )
            self._sieves.set(struct.pack("<I", generation << 4 | table), sieve)
        self._put_slots(tables, generation)
        self._put_networks(tables, generation)
        self._put_inodes(tables, generation)

    @staticmethod
    def _put_longest(one: AnyMap, entries: Iterable[_Entry], size: int, generation: int) -> None:
        """Fill a map of longest match, whose keys have up to `size` bytes of text."""
        for (table, raw), want in _merged(entries).items():
            bits = 8 * (1 + len(raw))
            key = struct.pack(f"<IB{size}s", bits, generation << 4 | table, raw)
            one.set(key, _WANT.pack(want))

    def _put_slots(self, tables: KernelTables, generation: int) -> None:
        for table in Table:
            self._put_slot(generation, table, tables.anything.get(table, NOTHING))
            self._put_slot(generation, _CUT + table, tables.widest(table))
        self._put_slot(generation, _UNINSPECTED, tables.uninspected)
        self._put_slot(generation, OTHER, tables.other)
        by_component = (w for (t, _), w in tables.components.items() if t is Table.UNIX)
        self._put_slot(generation, _UNRESOLVED, reduce(or_, by_component, NOTHING))

    def _put_slot(self, generation: int, slot: int, want: int) -> None:
        self._anything.set(struct.pack("<I", generation << 4 | slot), _WANT.pack(want))

    def _put_networks(self, tables: KernelTables, generation: int) -> None:
        for index, (network, want) in enumerate(tables.networks.items()):
            number = generation << 16 | index
            region = struct.pack("<II", number, want.any_port.packed)
            for port, port_want in want.ports.items():
                self._ports.set(struct.pack("<II", number, port), _WANT.pack(port_want.packed))
            bits = 8 + network.prefixlen
            raw = network.network_address.packed
            if isinstance(network, IPv4Network):
                self._net4.set(struct.pack("<IB4s3x", bits, generation, raw), region)
            elif isinstance(network, IPv6Network):
                self._net6.set(struct.pack("<IB16s3x", bits, generation, raw), region)

    def _put_inodes(self, tables: KernelTables, generation: int) -> None:
        """Add the inodes that literal paths have now: a hard link is the same file."""
        wants: dict[bytes, Want] = {}
        for (table, path), want in tables.literals.items():
            try:
                found = os.stat(path)
            except OSError:
                continue  # not there now
            device = os.major(found.st_dev) << 20 | os.minor(found.st_dev)
            key = struct.pack("<QII", found.st_ino, device, generation << 4 | table)
            wants[key] = wants.get(key, NOTHING) | want
        for key, want in wants.items():
            self._inodes.set(key, _WANT.pack(want))


def _mount_namespace() -> int:
    """Return the mount namespace whose paths are those of the host.

    Not the agent's own: as a unit of systemd it has one in which most of the host is read-only.
    """
    try:
        return os.stat("/proc/1/ns/mnt").st_ino
    except OSError:
        return os.stat("/proc/self/ns/mnt").st_ino


def _wants_a_stop(tables: KernelTables) -> bool:
    """Return whether any rule wants an act stopped."""
    reads = Want.STOP_READ | Want.STOP_WRITE
    by_path = [
        (table, want)
        for part in (tables.prefixes, tables.exact, tables.components, tables.suffixes)
        for (table, _), want in part.items()
    ]
    by_path += list(tables.anything.items())
    changes = reduce(or_, map(stop_bit, KINDS_OF_CHANGE))
    powers = reduce(or_, map(stop_bit, KINDS_WITHOUT_FILE))
    return (
        any(want & (changes if table is Table.CHANGE else reads) for table, want in by_path)
        or bool(tables.other & powers)
        or any(
            one.packed & 0x444
            for want in tables.networks.values()
            for one in (want.any_port, *want.ports.values())
        )
    )


def _key(key: tuple[Table, str], size: int, end: bytes = b"") -> tuple[Table, bytes]:
    table, text = key
    return table, (os.fsencode(text) + end)[:size]


def _sieve(names: Iterable[bytes], tails: Iterable[bytes]) -> bytes:
    """Return struct sieve: by letters, what one of the names or of the reversed tails could be."""
    lengths, endings = [0] * 256, [0] * 256
    for name in names:
        for letter in name[:1] or range(256):
            lengths[letter] |= 1 << len(name)
    for tail in tails:
        for place in range(_SIFTED):
            for letter in tail[place : place + 1] or range(256):
                endings[letter] |= 1 << place
    return _SIEVE.pack(*lengths, *endings)


def _merged(entries: Iterable[_Entry]) -> dict[tuple[Table, bytes], Want]:
    """Return what is wanted by key: names that had to be cut may be the same by then."""
    found: dict[tuple[Table, bytes], Want] = {}
    for table, raw, want in entries:
        found[table, raw] = found.get((table, raw), NOTHING) | want
    return found

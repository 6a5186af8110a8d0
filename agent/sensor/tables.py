"""The rules' superset into the kernel's maps, in two generations: the new one stands first."""

import os
import struct
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from agent.sensor.bpf import Map
from agent.sensor.records import KIND_NUMBERS
from rules.superset import KernelTables, Table

_CONFIG = struct.Struct("<6I")
_PATH_TEXT, _TAIL_TEXT, _NAME_TEXT = 247, 31, 31
_WANT = struct.Struct("<I")


class RuleTables:
    """The maps that the kernel matches by. One object writes them."""

    def __init__(self, maps: Path) -> None:
        """Open the maps under `maps` (a directory of bpffs)."""
        self._config = Map(maps / "hf_config", 4, _CONFIG.size)
        self._paths = Map(maps / "hf_paths", 4 + 1 + _PATH_TEXT, 4)
        self._tails = Map(maps / "hf_tails", 4 + 1 + _TAIL_TEXT, 4)
        self._names = Map(maps / "hf_names", 1 + _NAME_TEXT, 4)
        self._inodes = Map(maps / "hf_inodes", 16, 4)
        self._anything = Map(maps / "hf_anything", 4, 4)
        self._net4 = Map(maps / "hf_net4", 12, 8)
        self._net6 = Map(maps / "hf_net6", 24, 8)
        self._ports = Map(maps / "hf_ports", 8, 4)

    def put(self, tables: KernelTables) -> None:
        """Put a rule set in force; OSError if the maps cannot hold it, and then nothing changes."""
        agent, generation, groups, cgroups, _, _ = self.config()
        fresh = 1 - (generation & 1)
        self._clear(fresh)
        try:
            self._fill(tables, fresh)
        except OSError:
            self._clear(fresh)
            raise
        kinds = sum(1 << KIND_NUMBERS[kind] for kind in tables.kinds)
        self._set_config(agent, fresh, groups, cgroups, kinds)
        self._clear(1 - fresh)

    def config(self) -> tuple[int, ...]:
        """Return struct config: agent, generation, groups, cgroups, kinds, reserved."""
        raw = self._config.get(struct.pack("<I", 0)) or bytes(_CONFIG.size)
        return _CONFIG.unpack(raw)

    def set_subjects(self, *, agent: int, groups: int, cgroups: bool) -> None:
        """Store who the agent is, how many groups are watched, and whether any cgroup is."""
        _, generation, _, _, kinds, _ = self.config()
        self._set_config(agent, generation, groups, int(cgroups), kinds)

    def close(self) -> None:
        """Give the descriptors back."""
        for one in (self._config, *self._generations(), self._anything, self._ports):
            one.close()

    def _set_config(self, *values: int) -> None:
        self._config.set(struct.pack("<I", 0), _CONFIG.pack(*values, 0))

    def _generations(self) -> Iterable[Map]:
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
        for table in Table:
            self._anything.set(struct.pack("<I", generation << 4 | table), _WANT.pack(0))

    def _fill(self, tables: KernelTables, generation: int) -> None:
        def byte(table: Table) -> int:
            return generation << 4 | table

        for (table, prefix), want in tables.prefixes.items():
            self._put_path(byte(table), os.fsencode(prefix), want)
        for (table, path), want in tables.exact.items():
            # The kernel's text ends in a zero byte, so an exact path is a prefix that includes it.
            self._put_path(byte(table), os.fsencode(path) + b"\0", want)
        for (table, tail), want in tables.suffixes.items():
            raw = os.fsencode(tail)[-_TAIL_TEXT:]
            key = struct.pack(f"<IB{_TAIL_TEXT}s", 8 * (1 + len(raw)), byte(table), raw[::-1])
            self._tails.set(key, _WANT.pack(want))
        for (table, name), want in tables.components.items():
            raw = os.fsencode(name)[:_NAME_TEXT]
            self._merge(self._names, struct.pack(f"<B{_NAME_TEXT}s", byte(table), raw), want)
        for table, want in tables.anything.items():
            self._anything.set(struct.pack("<I", byte(table)), _WANT.pack(want))
        self._put_networks(tables, generation)
        self._put_inodes(tables, generation)

    def _put_path(self, table: int, raw: bytes, want: int) -> None:
        raw = raw[:_PATH_TEXT]
        key = struct.pack(f"<IB{_PATH_TEXT}s", 8 * (1 + len(raw)), table, raw)
        self._paths.set(key, _WANT.pack(want))

    @staticmethod
    def _merge(one: Map, key: bytes, want: int) -> None:
        known = one.get(key)
        one.set(key, _WANT.pack(want | (_WANT.unpack(known)[0] if known else 0)))

    def _put_networks(self, tables: KernelTables, generation: int) -> None:
        for index, (network, want) in enumerate(tables.networks.items()):
            number = generation << 16 | index
            region = struct.pack("<II", number, want.any_port)
            for port, port_want in want.ports.items():
                self._ports.set(struct.pack("<II", number, port), _WANT.pack(port_want))
            bits = 8 + network.prefixlen
            raw = network.network_address.packed
            if isinstance(network, IPv4Network):
                self._net4.set(struct.pack("<IB4s3x", bits, generation, raw), region)
            elif isinstance(network, IPv6Network):
                self._net6.set(struct.pack("<IB16s3x", bits, generation, raw), region)

    def _put_inodes(self, tables: KernelTables, generation: int) -> None:
        """Add the inodes that literal paths have now: a hard link is the same file."""
        for (table, path), want in tables.literals.items():
            try:
                found = os.stat(path)
            except OSError:
                continue  # not there now
            device = os.major(found.st_dev) << 20 | os.minor(found.st_dev)
            key = struct.pack("<QII", found.st_ino, device, generation << 4 | table)
            self._merge(self._inodes, key, want)

"""Rule tables into maps: the new half stands whole before it counts, and the old one stays."""

import errno
import ipaddress
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sensor.tables import _SIEVE, RuleTables
from rules.superset import ByTransport, KernelTables, NetworkWant, Table, Want

W = Want.STOP_READ


class DictMap:
    """A map without a kernel. `room` is how many keys it takes."""

    def __init__(self, key_bytes: int, value_bytes: int) -> None:
        self.sizes = (key_bytes, value_bytes)
        self.entries: dict[bytes, bytes] = {}
        self.room = 1_000_000
        self.closed = False

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""
        return self.entries.get(key)

    def set(self, key: bytes, value: bytes) -> bool:
        """Store, as a kernel that checks sizes and has so much room."""
        assert (len(key), len(value)) == self.sizes
        if key not in self.entries and len(self.entries) >= self.room:
            raise OSError(errno.E2BIG, "no room")
        self.entries[key] = value
        return True

    def delete(self, key: bytes) -> bool:
        """Remove."""
        return self.entries.pop(key, None) is not None

    def all_keys(self) -> list[bytes]:
        """Return all keys."""
        return list(self.entries)

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True


class Maps:
    """All maps of a RuleTables, by name."""

    def __init__(self) -> None:
        self.by_name: dict[str, DictMap] = {}
        self.tables = RuleTables(Path("maps"), self.open)

    def open(self, path: Path, key_bytes: int, value_bytes: int) -> DictMap:
        """Make a map."""
        self.by_name[path.name] = DictMap(key_bytes, value_bytes)
        return self.by_name[path.name]

    def of(self, name: str) -> dict[bytes, int]:
        """Return the entries of a map of wants."""
        entries = self.by_name[name].entries
        return {key: struct.unpack("<I", value)[0] for key, value in entries.items()}

    def half(self) -> int:
        """Return which generation is in force."""
        return self.tables.config().generation


@pytest.fixture
def maps() -> Maps:
    """Empty maps."""
    return Maps()


def tables(**parts: object) -> KernelTables:
    """Return tables with only these parts."""
    empty: dict[str, object] = {
        "prefixes": {},
        "exact": {},
        "components": {},
        "suffixes": {},
        "anything": {},
        "networks": {},
        "literals": {},
        "kinds": frozenset(),
    }
    return KernelTables(**{**empty, **parts})  # type: ignore[arg-type]


def path_key(generation: int, table: Table, text: bytes) -> bytes:
    """Return a key of hf_paths."""
    return struct.pack("<IB247s", 8 * (1 + len(text)), generation << 4 | table, text)


def test_paths_are_stored_as_prefixes_and_exact_ones_with_their_end(maps: Maps) -> None:
    """An exact path includes the zero byte that ends it in the kernel's text."""
    maps.tables.put(tables(prefixes={(Table.OPEN, "/srv/"): W}, exact={(Table.EXEC, "/bin/id"): W}))
    assert maps.of("hf_paths") == {
        path_key(1, Table.OPEN, b"/srv/"): W,
        path_key(1, Table.EXEC, b"/bin/id\0"): W,
    }


def test_suffixes_are_stored_backwards_and_cut_from_the_front(maps: Maps) -> None:
    """The kernel compares from the end, up to 31 bytes of it."""
    long = "x" * 40 + ".pem"
    maps.tables.put(tables(suffixes={(Table.OPEN, ".pem"): W, (Table.OPEN, long): W}))
    assert maps.of("hf_tails") == {
        struct.pack("<IB31s", 40, 1 << 4 | Table.OPEN, b"mep."): W,
        struct.pack("<IB31s", 256, 1 << 4 | Table.OPEN, b"mep." + b"x" * 27): W,
    }


def sieve(maps: Maps, table: Table) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the lengths and the endings of a table's sieve in the half in force."""
    raw = maps.by_name["hf_sieves"].entries[struct.pack("<I", maps.half() << 4 | table)]
    found = _SIEVE.unpack(raw)
    return found[:256], found[256:]


def passes(maps: Maps, table: Table, path: bytes) -> tuple[bool, bool]:
    """Return whether the kernel looks up a name, and whether an ending; see match.h."""
    lengths, endings = sieve(maps, table)
    end = (b"?" * 31 + path)[::-1]
    by_name = bool(lengths[path[0]] >> min(len(path), 31) & 1) if path else False
    return by_name, all(endings[end[place]] >> place & 1 for place in range(3))


LETTERS = st.characters(codec="utf-8", exclude_characters="/\0")
TEXTS = st.text(LETTERS, min_size=1, max_size=40)


@given(names=st.lists(TEXTS, max_size=4), before=st.text(LETTERS, max_size=3))
def test_a_sieve_holds_back_nothing_that_is_in_the_tables(names: list[str], before: str) -> None:
    """Names whole, and endings behind whatever stands before them, however short they are."""
    maps = Maps()
    entries = {(Table.OPEN, name): W for name in names}
    maps.tables.put(tables(components=entries, suffixes=entries))
    for name in names:
        assert passes(maps, Table.OPEN, os.fsencode(name))[0]
        assert passes(maps, Table.OPEN, os.fsencode(before + name))[1]


def test_a_sieve_holds_back_most_of_what_no_rule_names(maps: Maps) -> None:
    """By length and first letter, by the last three letters; each table has its own."""
    maps.tables.put(
        tables(components={(Table.OPEN, ".ssh"): W}, suffixes={(Table.OPEN, ".pem"): W})
    )
    assert passes(maps, Table.OPEN, b"include") == (False, False)
    assert passes(maps, Table.OPEN, b"stdio.h") == (False, False)
    assert passes(maps, Table.OPEN, b".git") == (True, False)
    assert passes(maps, Table.OPEN, b"item") == (False, False)
    assert passes(maps, Table.OPEN, b"a.pem") == (False, True)
    assert passes(maps, Table.EXEC, b".ssh") == (False, False)


@pytest.mark.parametrize("part", ["components", "exact", "suffixes"])
def test_names_that_are_the_same_once_cut_add_up(maps: Maps, part: str) -> None:
    """What the kernel cannot tell apart has what either of them wants."""
    stem = "n" * 300
    names = (f"a{stem}", f"b{stem}") if part == "suffixes" else (f"{stem}a", f"{stem}b")
    wants = (Want.STOP_READ, Want.OBSERVE_WRITE)
    entries = {(Table.OPEN, name): want for name, want in zip(names, wants, strict=True)}
    maps.tables.put(tables(**{part: entries}))
    name = {"components": "hf_names", "exact": "hf_paths", "suffixes": "hf_tails"}[part]
    assert list(maps.of(name).values()) == [Want.STOP_READ | Want.OBSERVE_WRITE]


def test_slots_say_what_is_wanted_of_what_was_not_seen_whole(maps: Maps) -> None:
    """Any path, a path that was cut, an address not inspected, a socket's name not resolved."""
    maps.tables.put(
        tables(
            anything={Table.EXEC: Want.OBSERVE_READ},
            prefixes={(Table.OPEN, "/srv/"): Want.STOP_WRITE},
            components={(Table.UNIX, "docker.sock"): W, (Table.OPEN, "x"): Want.OBSERVE_READ},
            uninspected=Want.STOP_READ,
        )
    )
    slots = {struct.unpack("<I", key)[0]: want for key, want in maps.of("hf_anything").items()}
    assert set(slots.values()) - {0} and not any(slots.get(n) for n in range(16))
    found = {number - 16: want for number, want in slots.items() if want}
    assert found == {
        Table.EXEC: Want.OBSERVE_READ,
        8 + Table.EXEC: Want.OBSERVE_READ,
        8 + Table.OPEN: Want.STOP_WRITE | Want.OBSERVE_READ,
        8 + Table.UNIX: W,
        4: Want.STOP_READ,
        5: W,
    }


def test_networks_get_a_number_under_which_their_ports_are_found(maps: Maps) -> None:
    """The region of a prefix is named by the half that it belongs to."""
    networks = {
        ipaddress.ip_network("10.0.0.0/8"): NetworkWant(
            ByTransport.every(W), {22: ByTransport(), 443: ByTransport(tcp=Want.OBSERVE_READ)}
        ),
        ipaddress.ip_network("fd00::/8"): NetworkWant(ByTransport(udp=Want.OBSERVE_READ)),
    }
    maps.tables.put(tables(networks=networks))
    assert maps.by_name["hf_net4"].entries == {
        struct.pack("<IB4s3x", 16, 1, bytes([10, 0, 0, 0])): struct.pack("<II", 1 << 16, W * 0x111)
    }
    assert maps.by_name["hf_net6"].entries == {
        struct.pack("<IB16s3x", 16, 1, b"\xfd" + bytes(15)): struct.pack("<II", 1 << 16 | 1, 0x10)
    }
    assert maps.of("hf_ports") == {
        struct.pack("<II", 1 << 16, 22): 0,
        struct.pack("<II", 1 << 16, 443): Want.OBSERVE_READ,
    }


def test_the_files_that_literal_paths_are_now_are_known_by_their_inodes(
    maps: Maps, tmp_path: Path
) -> None:
    """Two names of one file add up; a file that is not there is passed over."""
    one = tmp_path / "one"
    one.touch()
    os.link(one, tmp_path / "two")
    maps.tables.put(
        tables(
            literals={
                (Table.OPEN, str(one)): Want.STOP_READ,
                (Table.OPEN, str(tmp_path / "two")): Want.STOP_WRITE,
                (Table.OPEN, str(tmp_path / "none")): Want.STOP_WRITE,
            }
        )
    )
    stat = one.stat()
    device = os.major(stat.st_dev) << 20 | os.minor(stat.st_dev)
    assert maps.of("hf_inodes") == {
        struct.pack("<QII", stat.st_ino, device, 1 << 4 | Table.OPEN): 12
    }


def test_the_old_half_stays_until_the_next_switch(maps: Maps) -> None:
    """A program may be in the middle of a look-up when the new rules come into force."""
    for turn, name in enumerate(["a", "b", "c"]):
        maps.tables.put(tables(components={(Table.OPEN, name): W}))
        assert maps.half() == (turn + 1) % 2
        names = sorted(key[1:2].decode() for key in maps.of("hf_names"))
        assert names == ["a", "b", "c"][max(0, turn - 1) : turn + 1]


FULL = ["hf_paths", "hf_tails", "hf_names", "hf_net4", "hf_net6", "hf_ports"]


@pytest.mark.parametrize("full", FULL)
def test_rules_that_do_not_fit_change_nothing(maps: Maps, full: str) -> None:
    """The half in force is as it was, and what was begun of the other is gone."""
    old = tables(prefixes={(Table.OPEN, "/srv/"): W}, components={(Table.OPEN, "x"): W})
    maps.tables.put(old)
    before = {name: dict(one.entries) for name, one in maps.by_name.items()}
    config = maps.tables.config()
    maps.by_name[full].room = len(maps.by_name[full].entries) + 1
    names = [f"n{n}" for n in range(3)]
    networks = {
        network: NetworkWant(ByTransport.every(W), {n: ByTransport() for n in range(3)})
        for text in ("10.0.0.0/8", "10.0.0.0/9", "10.0.0.0/10", "fd00::/8", "fd00::/9", "fd00::/10")
        for network in [ipaddress.ip_network(text)]
    }
    with pytest.raises(OSError, match="no room"):
        maps.tables.put(
            tables(
                prefixes={(Table.OPEN, f"/{name}/"): W for name in names},
                suffixes={(Table.OPEN, name): W for name in names},
                components={(Table.OPEN, name): W for name in names},
                networks=networks,
            )
        )
    assert maps.tables.config() == config
    after = {name: dict(one.entries) for name, one in maps.by_name.items()}
    for name in ("hf_anything", "hf_sieves"):  # what they say of the half not in force counts not
        before.pop(name)
        after.pop(name)
    assert after == before


def test_who_the_agent_is_survives_a_change_of_rules(maps: Maps) -> None:
    """The configuration has two writers in one object, and neither undoes the other."""
    maps.tables.set_subjects(agent=(42, 7_000_000_000), groups=2, cgroups=True)
    maps.tables.put(tables())
    config = maps.tables.config()
    assert (config.agent_tgid, config.agent_start_ns) == (42, 7_000_000_000)
    assert (config.groups, config.cgroups, config.generation) == (2, 1, 1)
    maps.tables.set_subjects(agent=(43, 8_000_000_000), groups=0, cgroups=False)
    assert maps.tables.config().generation == 1


def test_every_map_is_closed(maps: Maps) -> None:
    """No descriptor is left behind."""
    maps.tables.close()
    assert all(one.closed for one in maps.by_name.values())

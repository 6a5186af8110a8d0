"""The C headers of the kernel side against what the agent takes them for."""

import re
from pathlib import Path

import pytest

import agent.kernel
from agent.sensor import labels, records, tables
from agent.sensor.records import ActFields
from rules.superset import Table, Want

PROGRAMS = Path(agent.kernel.__file__).parent / "programs"
HEADERS = {path.name: path.read_text() for path in PROGRAMS.glob("*.h")}
ALL = "\n".join(HEADERS.values())
WIDTHS = {"u8": 1, "char": 1, "u16": 2, "u32": 4, "u64": 8, "s64": 8}
MEMBER = re.compile(r"^\s*(?:struct\s+)?(\w+)\s+(\w+)((?:\[\w+\])*);", re.MULTILINE)


def define(name: str) -> int:
    """Return a number that the headers define."""
    found = re.search(rf"^#define {name} (\d+)", ALL, re.MULTILINE)
    assert found is not None, name
    return int(found[1])


def members(name: str) -> list[tuple[str, str, int]]:
    """Return (type, name, how many) of every member of a struct."""
    found = re.search(rf"^struct {name} \{{(.*?)^\}};", ALL, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return [(kind, member, _count(array)) for kind, member, array in MEMBER.findall(found[1])]


def _count(array: str) -> int:
    if not array:
        return 1
    size = array[1:-1]
    return int(size) if size.isdigit() else define(size)


def layout(name: str) -> tuple[int, int]:
    """Return (size, alignment) of a struct as a C compiler lays it out."""
    size, widest = 0, 1
    for kind, _, count in members(name):
        width, alignment = (WIDTHS[kind], WIDTHS[kind]) if kind in WIDTHS else layout(kind)
        size = -(-size // alignment) * alignment + width * count
        widest = max(widest, alignment)
    return -(-size // widest) * widest, widest


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("act", records.ACT.size),
        ("process", records.PROCESS.size),
        ("observed", records.OBSERVED_BYTES),
        ("facts", records.FACTS_BYTES),
        ("label", labels._LABEL.size),
        ("config", tables._CONFIG.size),
        ("path_key", 252),
        ("tail_key", 36),
        ("name_key", 32),
        ("inode_key", 16),
        ("net4_key", 12),
        ("net6_key", 24),
        ("port_key", 8),
        ("region", 8),
    ],
)
def test_a_struct_has_the_size_that_the_agent_packs(name: str, size: int) -> None:
    """Padding that a compiler would put in shows here as a difference."""
    assert layout(name)[0] == size


def test_the_fields_of_an_act_have_the_same_names_in_the_same_order() -> None:
    """A field that is put in between on one side only would shift all after it."""
    assert [member for _, member, _ in members("act")] == list(ActFields._fields)


def test_the_fields_of_the_configuration_have_the_same_names_in_the_same_order() -> None:
    """Likewise for what the agent tells the programs."""
    assert [member for _, member, _ in members("config")] == list(tables.Config._fields)


@pytest.mark.parametrize(
    "name",
    [
        "PATH_BYTES", "SHORT_PATH_BYTES", "FILENAME_BYTES", "DIRECTORY_BYTES", "ARGV_BYTES",
        "ENVIRONMENT_BYTES", "ANCESTORS", "MARK_PATH_CUT", "MARK_UNRESOLVED", "MARK_ARGV_CUT",
        "MARK_ENVIRONMENT_CUT", "MARK_ADDRESSES_CUT", "MARK_CREATED", "MARK_KILLED",
    ],
)  # fmt: skip
def test_a_number_that_both_sides_name_is_the_same(name: str) -> None:
    """Sizes of the texts in a record, and marks."""
    assert define(name) == getattr(records, name)


def test_kinds_guarantees_transports_and_wants_have_the_same_numbers() -> None:
    """What stands for what, in every table that both sides have."""
    for number, kind in records.KINDS.items():
        assert define(f"KIND_{kind.name}") == number
    for number, guarantee in records.GUARANTEES.items():
        assert define(f"GUARANTEE_{guarantee.name}") == number
    for number, transport in records.TRANSPORTS.items():
        assert define(f"TRANSPORT_{transport.name}") == number
    for want in Want:
        assert define(f"WANT_{want.name}") == want
    for table in Table:
        assert define(f"TABLE_{table.name}") == table


def test_the_texts_of_keys_are_as_long_on_both_sides() -> None:
    """A name cut at another place than the kernel cuts it would never be found."""
    sizes = {
        name: {member: count for _, member, count in members(name)}
        for name in ("path_key", "tail_key", "name_key", "subject", "cgroup_path")
    }
    assert sizes["path_key"]["text"] == tables._PATH_TEXT
    assert sizes["tail_key"]["reversed"] == tables._TAIL_TEXT
    assert sizes["name_key"]["name"] == tables._NAME_TEXT
    assert sizes["subject"]["name"] == labels._NAME_TEXT
    assert sizes["cgroup_path"]["text"] == labels._CGROUP_TEXT
    assert define("MAXIMUM_SUBJECTS") == labels._MAXIMUM_SUBJECTS
    assert define("SLOT_UNINSPECTED") == tables._UNINSPECTED
    assert define("SLOT_UNRESOLVED") == tables._UNRESOLVED

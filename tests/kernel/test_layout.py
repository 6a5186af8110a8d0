"""What crosses between kernel and agent has the same shape on both sides."""

import struct

import pytest

from agent.sensor import labels, mapped, permits, quarantines, records, repeats, tables, tickets
from tests.support.loading import map_sizes
from tests.support.watched import PINS, Watched

pytestmark = pytest.mark.kernel

# Keys and values as the agent packs them, by the name of the map.
SIZES = {
    "hf_about": (4, 64),
    "hf_active": (4, 4),
    "hf_config": (4, tables._CONFIG.size),
    "hf_counters": (4, 8),
    "hf_told": (4, 8),
    "hf_labels": (4, labels._LABEL.size),
    "hf_subjects": (4, 64),
    "hf_users": (4, 4),
    "hf_groups": (4, 8),
    "hf_cgroups": (8, 4),
    "hf_cgroup_paths": (192, 4),
    "hf_holds": (8, records.FACTS_BYTES),
    "hf_guarded": (4, mapped._GUARDED.size),
    "hf_resumed": (4, 4),
    "hf_tickets": (8, tickets._TICKET.size),
    "hf_repeats": (8, repeats._REPEAT.size),
    "hf_traced": (4, 24),
    "hf_threads": (4, 16),
    "hf_scripts": (4, 568),
    "hf_heartbeat": (4, 16),
    "hf_granted": (permits._KEY.size, 4),
    "hf_terms": (4, permits._TERMS.size),
    "hf_taken": (4, 8),
    "hf_quarantines": (4, quarantines._QUARANTINE.size),
    "hf_paths": (252, 4),
    "hf_tails": (36, 4),
    "hf_names": (32, 4),
    "hf_sieves": (4, tables._SIEVE.size),
    "hf_inodes": (16, 4),
    "hf_anything": (4, 4),
    "hf_net4": (12, 8),
    "hf_net6": (24, 8),
    "hf_ports": (8, 4),
}
RINGS = {"hf_wake", "hf_resumes", "hf_caught", "hf_uses", "hf_acts", "hf_execs"}


@pytest.mark.parametrize("name", SIZES)
def test_a_map_has_the_sizes_that_the_agent_packs(watched: Watched, name: str) -> None:
    """As the kernel itself reports them."""
    assert map_sizes(PINS / "maps" / name) == SIZES[name]


def test_every_map_is_pinned_and_known(watched: Watched) -> None:
    """No map is left out of the comparison."""
    assert {path.name for path in (PINS / "maps").iterdir()} == {*SIZES, *RINGS}


def test_an_observed_act_has_the_size_that_the_agent_unpacks(watched: Watched) -> None:
    """The head of the ring's record says how long it is."""
    watched.rules(
        "rules:\n  - id: seen\n    description: Seen.\n    severity: info\n"
        '    match: { open: { path: "{place}/file" } }\n    action: observe\n'
    )
    (watched.place / "file").touch()
    assert watched.run("open('file')").end() == 0
    (row,) = watched.sensor.drain_acts(10)
    assert len(row.record) == records.OBSERVED_BYTES - 8
    assert row.record[-256:] == bytes(str(watched.place / "file"), "ascii").ljust(256, b"\0")


def test_the_fields_of_an_act_lie_where_the_header_says() -> None:
    """A struct of the same members has the size that both sides count on."""
    assert records.ACT.size == struct.calcsize("<4Q6I16sQ4I2H4B16s2IQ") == 136

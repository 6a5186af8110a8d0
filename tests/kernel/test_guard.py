"""The kernel's side of the guard: what it remembers of who has been resumed."""

import pytest

from agent.sensor.bpf import Map
from tests.support.started import Started
from tests.support.tiny_elf import write_creator
from tests.support.watched import PINS, Watched

pytestmark = pytest.mark.kernel

ASK = """
rules:
  - id: tiny
    description: Runs the tiny program.
    severity: high
    match: { exec: { path: "{place}/tiny" } }
    action: ask
"""
_KEY, _NO, _YES = bytes(4), bytes(4), b"\x01\0\0\0"


def resume(watched: Watched, child: Started) -> None:
    """Send SIGCONT to a held process from another one of its user."""
    assert watched.run(["/usr/bin/kill", "-CONT", str(child.pid)]).end() == 0


def test_each_sigcont_to_a_held_process_has_system_calls_looked_at(watched: Watched) -> None:
    """Not only those that are told: the agent may have taken the mark back in between."""
    write_creator(watched.place / "tiny", watched.place / "made")
    watched.rules(ASK)
    child = watched.run([watched.place / "tiny"])
    watched.next_hold(child)
    child.wait_stopped()
    resumed = Map(PINS / "maps" / "hf_resumed", len(_KEY), len(_NO))
    try:
        for _ in range(3):
            resumed.set(_KEY, _NO)
            resume(watched, child)
            assert resumed.get(_KEY) == _YES
    finally:
        resumed.close()
    assert len(watched.sensor.new_resumes()) == 1, "the first is told, and the tenth is the next"
    assert not (watched.place / "made").exists()

"""Entries of held acts outlive the agent; what was lost is told once per boot."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.audit.held import HeldFiles
from agent.audit.told import Told
from agent.errors import SensorError
from agent.sensor.interface import HeldAct, Losses
from tests.support.children import Child, open_act


def test_entries_are_there_for_the_next_agent(tmp_path: Path, one: Child) -> None:
    """In their order, with all that was written last, until they are forgotten."""
    files, act = HeldFiles(tmp_path / "held"), open_act(one)
    first, second = files.open(act), files.open(replace(act, path="/second"))
    files.write(first, replace(act, path="/first"))
    again = HeldFiles(tmp_path / "held")
    assert again.all() == [
        HeldAct(key=first, act=replace(act, path="/first")),
        HeldAct(key=second, act=replace(act, path="/second")),
    ]
    third = again.open(act)
    assert third > second
    again.forget(first)
    again.forget(first)
    assert [held.key for held in files.all()] == [second, third]
    files.clear()
    assert not (tmp_path / "held").exists()
    assert files.all() == []


def test_an_entry_that_cannot_be_read_says_whose_it_is(tmp_path: Path, one: Child) -> None:
    """And can be judged by nobody."""
    files = HeldFiles(tmp_path / "held")
    key = files.open(open_act(one))
    next((tmp_path / "held").iterdir()).write_bytes(b"\xc1")
    (held,) = HeldFiles(tmp_path / "held").all()
    assert held.key == key
    assert held.unread
    assert (held.act.process.pid, held.act.process.start_ns) == (one.pid, one.start_ns)
    assert held.act.argv_cut and held.act.path_cut


def test_where_no_entry_can_be_made_is_an_error(tmp_path: Path, one: Child) -> None:
    """Nobody is stopped without one."""
    (tmp_path / "held").write_text("a file")
    with pytest.raises(SensorError, match="cannot be written"):
        HeldFiles(tmp_path / "held").open(open_act(one))


def test_what_was_told_is_kept(tmp_path: Path) -> None:
    """Nothing was, where nothing can be read."""
    told, losses = Told(tmp_path / "run" / "told"), Losses(events=1, holds=2, labels=0, records=3)
    assert told.read() == Losses(events=0, holds=0, labels=0)
    told.write(losses)
    assert Told(tmp_path / "run" / "told").read() == losses
    (tmp_path / "run" / "told").write_text("{")
    assert told.read() == Losses(events=0, holds=0, labels=0)
    told.clear()
    told.clear()

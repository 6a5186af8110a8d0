"""An upgrade: other programs take the place of those that hold, and nothing comes free by it."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import SensorError
from agent.sensor import programs
from agent.sensor.sides import Side
from tests.support.inside import PATIENCE
from tests.support.loading import program_ids
from tests.support.other_version import compiled_other_version, write_other_version
from tests.support.tiny_elf import write_creator
from tests.support.watched import PINS, Watched

pytestmark = pytest.mark.kernel

RULES = """
rules:
  - id: tiny
    description: A program.
    severity: high
    match: { exec: { path: tiny } }
    action: ask
  - id: seen
    description: Another one.
    severity: info
    match: { exec: { path: "true" } }
    action: observe
"""


@pytest.fixture
def made(watched: Watched) -> Iterator[Path]:
    """Where the tiny program puts its file; afterwards the programs are ours again."""
    watched.rules(RULES)
    write_creator(watched.place / "tiny", watched.place / "made")
    before = watched.losses()
    yield watched.place / "made"
    assert watched.losses() == before, "the kernel lost something"
    watched.may_lose = True  # from here on maps are new and count from zero
    watched.stop()
    for held in watched.holds():
        watched.sensor.forget(held.key)
    programs.unload(PINS)


def another_version(watched: Watched, monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    """Make what is loaded from now on another version, with `changed` changed."""
    kernel = watched.place / "other-kernel"
    write_other_version(kernel, changed)
    monkeypatch.setattr(programs, "_KERNEL", kernel)
    monkeypatch.setattr(watched, "cache", compiled_other_version(watched.cache, changed))


def others() -> list[Path]:
    """Return what is pinned beside the one version that acts."""
    parts = ("old", "next", "loading", "next-loading")
    return [path for part in parts if (path := PINS.with_name(f"{PINS.name}-{part}")).exists()]


def test_what_is_held_stays_held_and_is_released_by_the_new_version(
    watched: Watched, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its facts, its label and its guard are the same, and of the old version nothing is left."""
    child = watched.run([watched.place / "tiny", "an argument"])
    before = watched.next_hold(child)
    old = program_ids(PINS)
    another_version(watched, monkeypatch, "stop.c")
    watched.again()
    # The guard alone stays: who is stopped has begun the function that it is at the end of.
    kept = old.keys() & program_ids(PINS).keys()
    assert {old[number] for number in kept} <= {"gate_get_signal"}
    assert not others()
    (after,) = watched.holds()
    assert replace(after.act, time_ns=0) == replace(before.act, time_ns=0)
    assert after.key == before.key
    child.resume()  # by somebody else
    child.wait_stopped()
    assert not made.exists()
    watched.let_go(after, child)
    assert child.end() == 0
    assert made.exists()
    second = watched.run([watched.place / "tiny"])
    assert watched.next_hold(second).act.process.pid == second.pid


def test_each_act_of_the_moment_is_seen_once(
    watched: Watched, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both versions are attached for a while and only one acts: none is missed or seen twice."""
    most = 400  # as many as the ring has room for
    over, told = watched.place / "over", watched.place / "told"
    child = watched.run(
        f"import time\nfor number in range(1, {most} + 1):\n"
        "    os.spawnv(os.P_WAIT, '/bin/true', ['true'])\n"
        f"    if os.path.exists({str(over)!r}): break\n"
        f"    time.sleep({0.1 * PATIENCE})\n"
        f"open({str(told)!r}, 'w').write(str(number))\n"
    )
    another_version(watched, monkeypatch, "stop.c")
    watched.again()
    assert child.process.poll() is None, "it was over before the upgrade"
    over.touch()
    assert child.end() == 0
    count = int(told.read_text(encoding="utf-8"))
    assert len({(act.process.pid, act.process.start_ns) for act in watched.execs()}) == count


def test_a_layout_that_cannot_be_read_is_replaced_once_the_journal_has_what_it_holds(
    watched: Watched, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before that it is an error that says what to do; afterwards the guard still stands."""
    child = watched.run([watched.place / "tiny"])
    held = watched.next_hold(child)
    another_version(watched, monkeypatch, "records.h")
    watched.stop()
    with pytest.raises(SensorError, match="hold 1 acts that this version cannot read; start that"):
        watched.start()
    assert not made.exists()
    watched.start(journalled={held.key})
    assert watched.holds() == []
    child.resume()
    child.wait_stopped()
    assert not made.exists()
    watched.sensor.unguard(child.pid)
    child.resume()
    assert child.end() == 0


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_an_upgrade_that_is_cut_off_is_done_at_the_next_start(
    watched: Watched, made: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """Before either rename, between them, and before the new programs act: one version does."""
    child = watched.run([watched.place / "tiny"])
    watched.next_hold(child)
    another_version(watched, monkeypatch, "stop.c")
    watched.stop()
    renames = 0
    rename = Path.rename

    def counted(self: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames == cut:
            raise InterruptedError
        return rename(self, target)

    def never(directory: Path, side: Side) -> None:
        raise InterruptedError

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", counted)
        patched.setattr(programs, "activate", never)
        with pytest.raises(InterruptedError):
            watched.start()
    second = watched.run([watched.place / "tiny"])  # nobody has taken over yet
    second.wait_stopped()
    watched.start()
    assert not others()
    assert {held.act.process.pid for held in watched.holds()} == {child.pid, second.pid}
    os.kill(second.pid, signal.SIGCONT)
    second.wait_stopped()
    assert not made.exists()
    third = watched.run([watched.place / "tiny"])
    assert watched.next_hold(third).act.process.pid == third.pid

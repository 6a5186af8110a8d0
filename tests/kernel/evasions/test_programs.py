"""Ways to run a program as if it were another."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.evasions import and_asking
from tests.support.watched import Watched

pytestmark = pytest.mark.kernel

RULES = """
rules:
  - id: program
    description: The program.
    severity: high
    match: { exec: { path: "{place}/program" } }
    action: ask
"""
LOADER = "/lib64/ld-linux-x86-64.so.2"


@pytest.fixture
def program(watched: Watched) -> Path:
    """A program that a rule asks about by its path: the system's own `true`."""
    watched.rules(RULES)
    made = watched.place / "program"
    shutil.copy(Path("/usr/bin/true").resolve(), made)
    made.chmod(0o755)
    return made


def test_the_loader_runs_a_program_whose_rule_does_not_see_that(
    watched: Watched, program: Path
) -> None:
    """What the kernel runs is the loader."""
    child = watched.run([LOADER, program])
    assert child.end() == 0
    assert watched.holds() == []


@pytest.mark.parametrize(
    "match",
    [
        'exec: { path: "ld-linux-x86-64.so.2" }',
        'exec: { arg: "{place}/program" }',
        'open: { path: "{place}/program" }',
    ],
)
def test_the_loader_is_held_by_its_name_its_argument_or_what_it_reads(
    watched: Watched, program: Path, match: str
) -> None:
    """Each of them is a rule that somebody can write."""
    watched.rules(and_asking(match, RULES))
    child = watched.run([LOADER, program])
    held = watched.next_hold(child)
    child.wait_stopped()
    watched.let_go(held, child)
    assert child.end() == 0


def _copy(program: Path, other: Path) -> None:
    shutil.copy(program, other)


@pytest.mark.parametrize("way", [_copy, os.rename], ids=["copied", "renamed"])
def test_a_program_by_another_name_is_another_program(
    watched: Watched, program: Path, way: Callable[[Path, Path], None]
) -> None:
    """The rule for its old path does not see it; one for where a user may write does."""
    other = watched.place / "innocent" / "editor"
    other.parent.mkdir()
    way(program, other)
    child = watched.run([other])
    assert child.end() == 0
    assert watched.holds() == []
    watched.rules(and_asking('exec: { path: "{place}/innocent/**" }', RULES))
    child = watched.run([other])
    held = watched.next_hold(child)
    assert held.act.executable == str(other)
    watched.let_go(held, child)
    assert child.end() == 0


def test_what_is_preloaded_is_told_and_does_not_hide_the_program(
    watched: Watched, program: Path
) -> None:
    """What the library does is done by the process, and held as its acts are."""
    child = watched.run([program], env={"LD_PRELOAD": "/nowhere/hidden.so", "PASSWORD": "x"})
    held = watched.next_hold(child)
    assert held.act.environment == {"LD_PRELOAD": "/nowhere/hidden.so"}
    watched.let_go(held, child)
    assert child.end() == 0

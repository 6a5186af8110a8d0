"""A command under sudo is held, approved and done: sudo, which stops with it, goes on with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.house import USER, House, house, place_for_all
from tests.support.tiny_elf import write_creator

pytestmark = pytest.mark.end_to_end

SUDOERS = Path("/etc/sudoers.d/holdfast-test-house")
RULES = """
rules:
  - id: tiny
    description: Runs the program of this test.
    severity: critical
    match: { exec: { path: "{place}/tiny" } }
    action: ask
"""


@pytest.fixture
def home() -> Iterator[House]:
    """A Holdfast whose watched user may use sudo."""
    with place_for_all() as place:
        write_creator(place / "tiny", place / "made")
        with house(place, RULES.replace("{place}", str(place))) as built:
            SUDOERS.write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
            SUDOERS.chmod(0o440)
            try:
                yield built
            finally:
                SUDOERS.unlink()


@pytest.mark.parametrize("options", [(), ("-b",)], ids=["in front", "in the background"])
def test_an_approved_command_under_sudo_runs_and_sudo_ends_with_it(
    home: House, options: tuple[str, ...]
) -> None:
    """Nobody has to continue anything by hand; a second one after it goes the same way."""
    for _ in range(2):
        (home.directory / "made").unlink(missing_ok=True)
        child = home.start(["sudo", "-n", *options, str(home.directory / "tiny")])
        request = home.watcher.wait(lambda one: one["state"] == "open")
        assert not (home.directory / "made").exists()
        assert home.answer(request, "approve", "known work")["outcome"] == "released"
        assert child.wait(60) == 0
        assert (home.directory / "made").exists()

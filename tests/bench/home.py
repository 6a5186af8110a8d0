"""A whole Holdfast with the rules that people install, for the users that the bench makes."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import control
from agent.config import load
from deploy.bootstrap import bpffs
from rules.load import PACKS
from tests.support.accounts import Accounts
from tests.support.centre import REPOSITORY, centre
from tests.support.house import House

RULES = """
rules:
  - id: bench.observed
    description: A file that is opened often.
    severity: info
    match: {{ open: {{ path: {files}/observed }} }}
    action: observe
"""


@dataclass(frozen=True, slots=True)
class Files:
    """The files that workloads open, and the workload itself. Everybody may read them."""

    directory: Path
    program: Path

    @property
    def unmatched(self) -> Path:
        """No rule is about it."""
        return self.directory / "unmatched"

    @property
    def observed(self) -> Path:
        """Opening it is an event."""
        return self.directory / "observed"

    def make(self) -> None:
        """Write the files."""
        for path in (self.unmatched, self.observed):
            path.write_text("content\n")


@contextmanager
def home(place: Path, people: Accounts, files: Files) -> Iterator[House]:
    """Have a centre and an agent that is not started yet, with the packs and one rule more."""
    rules = place / "rules"
    rules.mkdir(parents=True)
    for pack in sorted(PACKS.glob("*.yaml")):
        (rules / pack.name).write_bytes(pack.read_bytes())
    (rules / "bench.yaml").write_text(RULES.format(files=files.directory))
    with bpffs.mounted(), centre(place) as made:
        built = House(place, made, people.watched)
        text = built.config.read_text()
        assert str(built.rules) in text
        built.config.write_text(text.replace(str(built.rules), str(rules)))
        try:
            yield built
        finally:
            built.close()


def status(house: House) -> Mapping[str, Any]:
    """Return what the running agent says of itself."""
    return control.ask(load(house.config).socket, {"do": "status"})


def lost(house: House) -> int:
    """Return how many acts the kernel could not report since it was loaded, as the agent says."""
    return sum(status(house)["lost"].values())


@contextmanager
def explained(house: House) -> Iterator[None]:
    """Add to a failure of the body what the agent and the trail say: was it Holdfast's doing?"""
    try:
        yield
    except AssertionError as error:
        rows = house.sql(
            "SELECT kind, program, path, action, rule, detail FROM events "
            "WHERE action IN ('deny', 'ask') OR kind IN ('gap', 'notice') "
            "ORDER BY number DESC LIMIT 10"
        )
        error.add_note(f"the agent says: {status(house)}\nthe trail, newest first: {rows}")
        raise


@contextmanager
def loaded(house: House) -> Iterator[None]:
    """Have the agent run in the body, and nothing of it in the kernel afterwards."""
    house.start_agent()
    try:
        yield
    finally:
        code = house.stop_agent()
        done = subprocess.run(
            [sys.executable, "-m", "agent", "unload", "--config", str(house.config), "--force"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (code, done.returncode) == (0, 0), done.stdout + done.stderr


def in_trail(house: House, path: Path) -> int:
    """Return how many opens of a path the trail has."""
    # Acts that are the same are one row that says how many.
    rows = house.sql(
        f"SELECT coalesce(sum(count), 0) FROM events WHERE kind = 'open' AND path = '{path}'"  # noqa: S608
    )
    return int(rows[0][0])


def wait_in_trail(house: House, path: Path, wanted: Callable[[int], bool]) -> int:
    """Return the number of opens of a path in the trail once it is wanted; fail after a minute.

    The trail announces nothing, so it is asked; seldom, or the asking would be what is measured.
    """
    for _ in range(240):
        if not status(house)["unsent_events"] and wanted(count := in_trail(house, path)):
            return count
        time.sleep(0.25)
    raise AssertionError(f"{in_trail(house, path)} opens of {path} in the trail, for a minute")

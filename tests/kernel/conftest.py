"""Fixtures of the kernel layer: one loaded sensor, a clean slate for each test."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from agent.sensor import programs
from deploy.bootstrap import bpffs
from tests.support.accounts import Accounts, accounts
from tests.support.inside import PATIENCE
from tests.support.watched import PINS, Watched, subreaper

_STUCK_S = 60 * PATIENCE


@pytest.fixture(scope="session")
def people() -> Iterator[Accounts]:
    """The users and the group of the tests."""
    with accounts() as made:
        yield made


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may write to, by its real path."""
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as name:
        path = Path(name).resolve()
        path.chmod(0o777)
        yield path


@pytest.fixture(scope="session")
def loaded(people: Accounts) -> Iterator[Watched]:
    """The sensor, loaded once for all."""
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-test-") as name,
        bpffs.mounted(),
        subreaper(),
    ):
        programs.unload(PINS)  # of a run that was cut off
        one = Watched(people, Path(name))
        try:
            one.start()
            yield one
        finally:
            one.unload()


@pytest.fixture
def watched(loaded: Watched, place: Path) -> Iterator[Watched]:
    """The sensor, watching the user holdfast-test-ai with no rules that matter."""
    loaded.place = place
    loaded.begin()
    before = loaded.losses()
    signal.signal(signal.SIGALRM, _stuck)
    signal.alarm(_STUCK_S)
    try:
        yield loaded
        assert loaded.may_lose or loaded.losses() == before, "the kernel lost something"
    finally:
        signal.alarm(0)
        loaded.clean()


def _stuck(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"nothing happened for {_STUCK_S} s")

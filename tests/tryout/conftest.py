"""Every test of the try-out starts from a clean machine and leaves one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.bootstrap import bpffs
from tests.tryout.terminal import Run, unattended, wait_for_the_keeper, what_is_left


@pytest.fixture
def clean_machine() -> Iterator[None]:
    """Start from a machine without leftovers, and see that the test leaves it so."""
    mounted = bpffs.is_mounted(Path("/proc/self/mounts").read_text(encoding="utf-8"))
    assert what_is_left() == [], "remove it first: deploy/try --clean"
    yield
    left = what_is_left()
    unattended("--clean")
    assert left == []
    assert bpffs.is_mounted(Path("/proc/self/mounts").read_text(encoding="utf-8")) == mounted


@pytest.fixture
def tryout(clean_machine: None) -> Iterator[Run]:
    """A run at a terminal that asks for every answer."""
    run = Run()
    yield run
    run.close()
    wait_for_the_keeper()

"""What all tests share: those that need root say so, and only one run has the kernel at a time."""

import fcntl
import os
from pathlib import Path

import pytest

from deploy.bootstrap.bpffs import MOUNT_POINT

_NEED_ROOT = ("kernel", "end_to_end", "faults")
_KERNEL = pytest.StashKey[int]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs root for anyone else, with the command that runs it."""
    if os.geteuid() == 0:
        return
    for item in items:
        for layer in _NEED_ROOT:
            if item.get_closest_marker(layer):
                item.add_marker(
                    pytest.mark.skip(reason=f"needs root: sudo tests/run --only {layer}")
                )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Wait until no other run of the tests uses the kernel: they share pins and test users."""
    stash = item.session.stash
    if _KERNEL in stash or not any(item.get_closest_marker(layer) for layer in _NEED_ROOT):
        return
    # Held until this process ends; it is not inherited.
    stash[_KERNEL] = os.open(Path(MOUNT_POINT), os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(stash[_KERNEL], fcntl.LOCK_EX)

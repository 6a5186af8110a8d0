"""What all tests share: those that need root say so, and only one run has the kernel at a time."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from deploy.bootstrap.bpffs import MOUNT_POINT
from rules.modes import HostMode
from tests.support import leftovers
from tests.support.sensors import MODE

_NEED_ROOT = ("kernel", "end_to_end", "faults", "audit", "transparency")
# Layers that make something on the machine itself, by directory.
_ON_THE_MACHINE = {"tryout", "faults", "soak", "bench"}
_KERNEL = pytest.StashKey[int]()

# Set by `tests/run --full`: how many times as many examples each property is tried with.
_TIMES = int(os.environ.get("HOLDFAST_TEST_EXAMPLES", "1"))
# No deadline: a busy machine is no failure. A failure prints what replays it.
settings.register_profile(
    "holdfast",
    deadline=None,
    print_blob=True,
    max_examples=80 * _TIMES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("holdfast")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests of gate mode to tests/vm; skip what needs root for anyone else, with the command.

    HOLDFAST_TEST_MODE=gate runs the former, as tests/vm does under the kernels that take it.
    """
    if MODE is not HostMode.GATE:
        elsewhere = [item for item in items if item.get_closest_marker("gate")]
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]
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
    if _KERNEL in stash or not any(map(item.get_closest_marker, _NEED_ROOT)):
        return
    # Held until this process ends; it is not inherited.
    stash[_KERNEL] = os.open(Path(MOUNT_POINT), os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(stash[_KERNEL], fcntl.LOCK_EX)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """What tests make on the machine is gone when they are over, whichever way each has ended.

    A look at the system's own lists: pins, programs, cgroups, users, mounts, namespaces, audit
    rules, files and processes.
    """
    if os.geteuid() != 0 or not any(map(_on_the_machine, request.session.items)):
        yield
        return
    before = leftovers.found() | leftovers.running()
    yield
    left = leftovers.left_since(before)
    assert not left, "the tests have left behind: " + "; ".join(sorted(left))


def _on_the_machine(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(layer) for layer in _NEED_ROOT) or bool(
        _ON_THE_MACHINE.intersection(item.path.parts)
    )

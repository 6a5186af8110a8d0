"""The kernel's part of Holdfast, and all of it end to end, under stock Debian kernels."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.bootstrap.progress import Progress
from tests.vm import chosen, image, suite
from tests.vm.kernels import Way, kernel_named, ways_named
from tests.vm.machine import Machine, Shape
from tests.vm.telling import programs_table, tell, told

# A VM limits itself: this is for a qemu that cannot even be killed.
pytestmark = pytest.mark.timeout(3600)
# Names of kernels or of ways, as in "6.1-lsm,5.10"; tests/run sets it.
_WAYS = ways_named(os.environ.get("HOLDFAST_TEST_KERNELS", ""))
_GOOD = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A VM that is not booted yet, and is gone at the end."""
    one = Machine(tmp_path)
    yield one
    one.end()


@pytest.mark.parametrize("way", _WAYS, ids=str)
def test_holdfast_works_under(way: Way, machine: Machine, request: pytest.FixtureRequest) -> None:
    """The tests in the VM are counted one by one; this one is about the VM itself."""
    progress = Progress()
    root = image.root(progress)
    stock = image.stock(kernel_named(way.kernel), progress)
    failed: list[str] = []
    counted = 0

    def report(data: dict[str, Any]) -> None:
        nonlocal counted
        one = told(request, data, str(way))
        counted += one.when == "call"
        if one.failed:
            failed.append(one.nodeid)

    try:
        inside = suite.booted(machine, root, stock, Shape(way.hooks), progress)
        tell(request, programs_table(str(way), stock.version, *inside.costs()))
        code = inside.tests(chosen.tests(), report)
        assert code in _GOOD, f"pytest in the VM ended with exit code {code}"
        assert counted, "no test has run in the VM"
    except BaseException as error:
        error.add_note(f"console and logs are in {suite.keep(machine, str(way))}")
        raise
    if failed:
        place = suite.keep(machine, str(way))
        tell(request, f"{len(failed)} failed under {way}; console and logs are in {place}")

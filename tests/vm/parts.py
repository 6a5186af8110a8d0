"""Runs of tests in VMs that go on beside each other: each part of them has a VM of its own."""

import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.bootstrap.progress import Progress
from tests.vm import image, suite
from tests.vm.kernels import Way, kernel_named
from tests.vm.machine import Machine, Shape

# What is done with a booted VM before its tests; its result is the first thing that is told.
First = Callable[[suite.Inside], object]


def mode_of(way: Way) -> str:
    """Return the mode that tests there are in: HOLDFAST_TEST_MODE may name another."""
    return os.environ.get("HOLDFAST_TEST_MODE") or way.mode


class Part:
    """The tests of one VM. What comes of them is told in the thread that asks."""

    def __init__(self, way: Way, name: str, tests: list[str], place: Path) -> None:
        self.name = f"{way}-{name}"
        self._way = way
        self._tests = tests
        self._machine = Machine(place)
        self._told: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self, first: First) -> None:
        """Begin; all that needs to be made once is made by whoever comes first."""
        self._first = first
        self._thread.start()

    def told(self) -> Iterator[object]:
        """Yield what `first` returned, then each report, then pytest's exit code and no more.

        Raises what went wrong with the VM.
        """
        while True:
            one = self._told.get()
            if isinstance(one, BaseException):
                raise one
            yield one
            if isinstance(one, int):
                return

    def keep(self) -> Path:
        """Keep its console and its logs; return where."""
        return suite.keep(self._machine, self.name)

    def end(self) -> None:
        """Switch the VM off; whatever is still under way in it is an error that nobody hears."""
        self._machine.end()
        self._thread.join()

    def _run(self) -> None:
        progress = Progress()
        try:
            stock = image.stock(kernel_named(self._way.kernel), progress)
            shape = Shape(self._way.hooks)
            root = image.root(progress)
            inside = suite.booted(self._machine, root, stock, shape, mode_of(self._way), progress)
            self._told.put(self._first(inside))
            self._told.put(inside.tests(self._tests, self._told.put))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            self._told.put(error)

"""The kernel's part of Holdfast, and all of it end to end, under stock Debian kernels."""

import os
from collections.abc import Callable, Iterator

import pytest

from tests.vm import chosen
from tests.vm.kernels import Way, ways_named
from tests.vm.parts import Part, mode_of
from tests.vm.suite import Inside
from tests.vm.telling import counted, programs_table, tell

# A VM limits itself: this is for a qemu that cannot even be killed.
pytestmark = pytest.mark.timeout(3600)
# Names of kernels or of ways, as in "6.1-lsm,5.10"; tests/run sets it.
_WAYS = ways_named(os.environ.get("HOLDFAST_TEST_KERNELS", ""))

Begun = Callable[[Way], dict[str, Part]]


@pytest.fixture(scope="module")
def begun(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Begun]:
    """Gives the parts of a way, which run beside each other; there is one way at a time.

    Only those that this run asks for, as by `-k`.
    """
    running: dict[Way, dict[str, Part]] = {}
    asked = [item.name for item in request.session.items]

    def parts(way: Way) -> dict[str, Part]:
        if way not in running:
            _end(running)
            made = {
                name: Part(way, name, tests, tmp_path_factory.mktemp(f"{way}-{name}"))
                for name, tests in chosen.parts(mode_of(way)).items()
                if any(one.endswith(f"[{way}-{name}]") for one in asked)
            }
            running[way] = made
            for number, part in enumerate(made.values()):
                part.start(Inside.costs if not number else Inside.prepare)
        return running[way]

    yield parts
    _end(running)


def _end(running: dict[Way, dict[str, Part]]) -> None:
    for parts in running.values():
        for part in parts.values():
            part.end()
    running.clear()


@pytest.mark.parametrize(
    ("way", "name"),
    [
        pytest.param(way, name, id=f"{way}-{name}")
        for way in _WAYS
        for name in chosen.parts(mode_of(way))
    ],
)
def test_holdfast_works_under(
    way: Way, name: str, begun: Begun, request: pytest.FixtureRequest
) -> None:
    """The tests in the VM are counted one by one; this one is about the VM itself."""
    part = begun(way)[name]
    with counted(request, str(way), part.keep) as tally:
        for one in part.told():
            if isinstance(one, tuple):
                tell(request, programs_table(str(way), *one))
            elif isinstance(one, dict):
                tally.take(one)
            elif isinstance(one, int):
                tally.end(one)

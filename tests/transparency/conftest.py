"""What the tests of transparency share: the runs without an agent, and one Holdfast per setting."""

import shutil
from collections.abc import Iterator

import pytest

from tests.support import leftovers
from tests.support.house import place_for_all, test_user
from tests.transparency.cases import CASES, Case
from tests.transparency.foreign import FOREIGN
from tests.transparency.running import Result, Runner
from tests.transparency.settings import SETTINGS, Watching, watching


@pytest.fixture(scope="session")
def runner() -> Iterator[Runner]:
    """Have every program compiled, in a place that the watched user can reach."""
    with place_for_all() as place:
        yield Runner(place)


@pytest.fixture(scope="session")
def alone(request: pytest.FixtureRequest, runner: Runner) -> dict[str, tuple[Result, Result]]:
    """Run each case that was asked for twice, before anything of ours is in the kernel."""
    assert not [one for one in leftovers.found() if one.startswith(("pin", "program"))]
    wanted = {
        found.name
        for item in request.session.items
        if (spec := getattr(item, "callspec", None)) is not None
        if isinstance(found := spec.params.get("case"), Case)
    }
    with test_user() as user:
        return {
            case.name: (runner.run(case, user), runner.run(case, user))
            for case in (*CASES, *FOREIGN)
            if case.name in wanted and not (case.needs and shutil.which(case.needs) is None)
        }


@pytest.fixture(scope="session", params=SETTINGS)
def watched(
    request: pytest.FixtureRequest, runner: Runner, alone: dict[str, tuple[Result, Result]]
) -> Iterator[Watching]:
    """Have a Holdfast under one setting, after the runs without any."""
    assert alone is not None
    with watching(request.param, runner.work) as one:
        yield one

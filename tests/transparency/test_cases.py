"""A program does the same, watched or not: with no agent, observed, and held and approved.

What differs by nature stands in exceptions.py, and on docs/transparency.md.
"""

import shutil

import pytest

from tests.transparency.cases import CASES, Case
from tests.transparency.exceptions import GATE, expected
from tests.transparency.foreign import FOREIGN
from tests.transparency.running import Result, Runner
from tests.transparency.settings import HOLD, Watching

pytestmark = pytest.mark.transparency

Alone = dict[str, tuple[Result, Result]]
each_case = pytest.mark.parametrize("case", (*CASES, *FOREIGN), ids=lambda case: case.name)


@each_case
def test_a_case_says_the_same_twice_without_an_agent(alone: Alone, case: Case) -> None:
    """Or a difference under an agent would mean nothing."""
    _there(case)
    first, second = alone[case.name]
    assert first.differences(second) == {}
    assert len(first.values) > 3, first.values


@each_case
def test_a_case_comes_to_the_same_with_an_agent(
    alone: Alone, watched: Watching, runner: Runner, case: Case
) -> None:
    """Everything that it says, how it ends and what it leaves, but for the listed exceptions."""
    _there(case)
    watched.person.begin(case.delay_s)
    found = runner.run(case, watched.home.user)
    differences = alone[case.name][0].differences(found)
    wanted = expected(case.name, watched.mode, watched.setting)
    asked = watched.person.done()
    assert {key: other for key, (_, other) in differences.items()} == wanted, (
        f"{differences}; approved: {asked}"
    )
    assert watched.person.failures == []
    if watched.setting == HOLD:
        least = {**case.holds, **(case.gate_holds if watched.mode == GATE else {})}
        assert {kind: n for kind, n in least.items() if asked.get(kind, 0) < n} == {}, asked
    else:
        assert asked == {}


def _there(case: Case) -> None:
    if case.needs and shutil.which(case.needs) is None:
        pytest.skip(f"needs {case.needs}: sudo apt-get install {case.needs}")

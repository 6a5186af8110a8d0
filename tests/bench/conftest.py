"""Fixtures of the bench: users, files, the workload, and the report that becomes a page.

Nothing here asserts a time. A test of the bench fails when it could not measure.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.bootstrap import bpffs
from tests.bench import auditing, workloads
from tests.bench import sizes as all_sizes
from tests.bench.flood import Watched, watched
from tests.bench.home import Files
from tests.bench.page import PAGE
from tests.bench.report import Report
from tests.bench.sizes import Sizes
from tests.support.accounts import Accounts, accounts

_LONGEST_S = 3600
_REPORT = pytest.StashKey[Report]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests here the time that they need, and the kernel to themselves."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.end_to_end)
            item.add_marker(pytest.mark.timeout(_LONGEST_S))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the tables of the run."""
    report = config.stash.get(_REPORT, None)
    if report is not None:
        terminalreporter.section("measured")
        for text in report.said:
            terminalreporter.write_line(text)


@pytest.fixture(scope="session")
def sizes() -> Sizes:
    """How much this run measures."""
    return all_sizes.chosen()


@pytest.fixture(scope="session")
def report(sizes: Sizes, pytestconfig: pytest.Config) -> Report:
    """Where a section publishes its tables."""
    pytestconfig.stash[_REPORT] = Report(PAGE if sizes.page else None)
    return pytestconfig.stash[_REPORT]


@pytest.fixture(scope="session")
def people() -> Iterator[Accounts]:
    """The watched user and the other one."""
    with bpffs.mounted(), accounts() as made:
        yield made


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A directory that everybody may read, by its real path."""
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as name:
        path = Path(name).resolve()
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="session")
def files(place: Path) -> Files:
    """The files that workloads open."""
    made = Files(place, workloads.compiled(place))
    made.make()
    return made


@pytest.fixture(scope="session")
def flooded(people: Accounts, files: Files, sizes: Sizes) -> Watched:
    """A Holdfast that was idle and then flooded: two sections are about it."""
    auditing.check_unused()
    with auditing.left_alone(people.watched.pw_uid):
        return watched(files.directory / "flood", people, files, sizes)

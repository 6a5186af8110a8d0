"""Lets the tests inside a VM count outside: each of their reports becomes one of this run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.vm.programs import Program

# The kernel gives up on a program after this many.
_MOST_VERIFIED = 1_000_000


class Tally:
    """What the tests in one VM come to, each told as one of this run."""

    def __init__(self, request: pytest.FixtureRequest, way: str) -> None:
        """`way` is the name of the VM's way, before those of its tests."""
        self._request = request
        self._way = way
        self.failed = 0
        self.counted = 0

    def take(self, data: dict[str, Any]) -> None:
        """Tell what a test inside has reported."""
        report = _told(self._request, data, self._way)
        self.counted += report.when == "call"
        self.failed += report.failed

    def end(self, code: int) -> None:
        """Take pytest's exit code: another than that tests have failed is no result."""
        good = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        assert code in good, f"pytest in the VM ended with exit code {code}"


@contextmanager
def counted(request: pytest.FixtureRequest, way: str, keep: Callable[[], Path]) -> Iterator[Tally]:
    """Count the tests of a VM in the body. If something fails, `keep` keeps what is left of it."""
    tally = Tally(request, way)
    try:
        yield tally
        assert tally.counted, "no test has run in the VM"
    except BaseException as error:
        error.add_note(f"console and logs are in {keep()}")
        raise
    if tally.failed:
        tell(request, f"{tally.failed} failed under {way}; console and logs: {keep()}")


def tell(request: pytest.FixtureRequest, text: str) -> None:
    """Write lines where the results appear."""
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None:
        return
    with _uncaptured(request):
        terminal.ensure_newline()
        terminal.write_line(text)


def programs_table(
    way: str, version: str, programs: Sequence[Program], lacking: Mapping[str, str]
) -> str:
    """Return what the verifier made of each program, as lines, and which it did not take."""
    lines = [
        f"programs under {way} (Debian's {version}); a program may take up {_MOST_VERIFIED:,}:",
        f"  {'program':<29} {'instructions':>12} {'verified':>9} {'states':>7} {'code bytes':>11}",
    ]
    for one in sorted(programs, key=lambda one: one.name):
        lines.append(
            f"  {one.name:<29} {one.instructions:>12,} {one.verified:>9,} "
            f"{one.peak_states:>7,} {one.machine_bytes:>11,}"
        )
    total = sum(one.verified for one in programs)
    size = sum(one.machine_bytes for one in programs)
    lines.append(f"  {'all':<29} {'':>12} {total:>9,} {'':>7} {size:>11,}")
    lines += [f"  {name}: {why}" for name, why in lacking.items()]
    return "\n".join(lines)


def _told(
    request: pytest.FixtureRequest, data: dict[str, Any], way: str
) -> pytest.TestReport | pytest.CollectReport:
    """Report what a test inside has reported, under the name of the VM's way; return the report."""
    hook = request.config.hook
    data["nodeid"] = f"{way}/{data['nodeid']}"
    report: pytest.TestReport | pytest.CollectReport = hook.pytest_report_from_serializable(
        config=request.config, data=data
    )
    with _uncaptured(request):
        if isinstance(report, pytest.CollectReport):
            hook.pytest_collectreport(report=report)
        else:
            # Each is one of what this run has collected, as far as its progress is concerned.
            request.session.testscollected += report.when == "setup"
            hook.pytest_runtest_logreport(report=report)
    return report


@contextmanager
def _uncaptured(request: pytest.FixtureRequest) -> Iterator[None]:
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    if capture is None:
        yield
        return
    with capture.global_and_fixture_disabled():
        yield

"""A plugin for pytest inside a VM: each report goes out as it is made, and at last how it ended."""

import json
import os

import pytest

_DESCRIPTOR = int(os.environ.get("HOLDFAST_VM_REPORTS", "-1"))


class Reports:
    """Writes one line of JSON per report: {"report": ...}, at the end {"exit": code}."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._give(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._give(report)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        _write({"exit": int(exitstatus)})

    def _give(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        hook = self._config.hook
        _write({"report": hook.pytest_report_to_serializable(config=self._config, report=report)})


def pytest_configure(config: pytest.Config) -> None:
    """Take part only where somebody listens."""
    if _DESCRIPTOR >= 0:
        config.pluginmanager.register(Reports(config))


def _write(line: dict[str, object]) -> None:
    rest = memoryview(json.dumps(line).encode() + b"\n")
    while rest:
        rest = rest[os.write(_DESCRIPTOR, rest) :]

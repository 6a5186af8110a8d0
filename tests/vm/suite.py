"""One run of the tests inside a VM: what goes in, comes out, and is kept when it fails."""

import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.bootstrap.progress import Progress
from tests.support.other_version import CHANGED
from tests.vm import installed, programs
from tests.vm.checkout import PLACE
from tests.vm.chosen import ALL
from tests.vm.image import ENVIRONMENT, Root, Stock
from tests.vm.machine import LOGS, Machine, MachineError, Shape

# What is kept of a run that failed: its console, and the logs of agents and servers.
KEPT = Path(os.environ.get("HOLDFAST_TEST_KEPT", "/var/tmp/holdfast-vm"))  # noqa: S108
_LONGEST_LOAD_S = 600
# With --full, on two cores that are busy with other things too, half an hour is not enough.
_LONGEST_TESTS_S = 2700
# One that loads the programs anew takes minutes. One that says nothing for this long hangs.
_LONGEST_TEST_S = 900
# Only these tests run commands of the collector.
_TOGETHER = "tests/end_to_end"
_ADMINISTRATION = "/run/holdfast-test-administration"
_PYTEST = (
    *("-q", "-p", "tests.vm.inside.reports", "-p", "no:cacheprovider"),
    *("--durations=10", f"--timeout={_LONGEST_TEST_S}"),
)

Reports = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Inside:
    """A booted VM with Holdfast installed."""

    machine: Machine
    target: programs.Target

    def prepare(self) -> None:
        """Have the programs ready for the tests."""
        programs.install(self.machine, self.target, CHANGED if ALL else ())

    def costs(self) -> tuple[str, list[programs.Program], dict[str, str]]:
        """Prepare; return the kernel's version, what programs cost there, and what lacks why."""
        self.prepare()
        return self.target.version, *programs.measured(self._output, self.target)

    def tests(
        self, arguments: Sequence[str], reports: Reports, *, longest_s: float = _LONGEST_TESTS_S
    ) -> int:
        """Run pytest; return its exit code. `reports` gets each report as it is made.

        Raises MachineError for a VM that ends or hangs, and when pytest ends without saying how.
        """
        environment = dict(self._environment())
        if any(_TOGETHER in one for one in arguments):
            # It imports while pytest does.
            serve = f"exec setsid {ENVIRONMENT}/bin/python -m tests.support.administration"
            quiet = f"{_ADMINISTRATION} >/dev/null 2>&1 &"
            self._output(["/bin/sh", "-c", f"cd {PLACE}; {serve} {quiet}"])
            environment["HOLDFAST_TEST_ADMINISTRATION"] = _ADMINISTRATION
        lines = _Lines(reports)
        said = io.BytesIO()

        def output(stream: int, content: bytes) -> None:
            if stream == 3:
                lines.add(content)
            else:
                said.write(content)

        try:
            code = self.machine.run(
                [f"{ENVIRONMENT}/bin/python", "-m", "pytest", *_PYTEST, *arguments],
                output=output,
                seconds=longest_s,
                silence=_LONGEST_TEST_S + 60,
                cwd=PLACE,
                environment=environment,
            )
        finally:
            (self.machine.place / "pytest.log").write_bytes(said.getvalue())
        if lines.exit is None or lines.exit != code:
            last = said.getvalue().decode(errors="replace")[-2000:]
            raise MachineError(f"pytest in the VM ended with {code} before its end:\n{last}")
        return code

    def _environment(self) -> Mapping[str, str]:
        return {
            "PATH": f"{ENVIRONMENT}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOLDFAST_TEST_PROGRAMS": programs.KEPT,
            "HOLDFAST_TEST_LOGS": LOGS,
            "HOLDFAST_TEST_HOOKS": self.target.hooks,
            "HOLDFAST_TEST_PATIENCE": "5",
            "HOLDFAST_TEST_MODE": self.target.mode,
        }

    def _output(self, argv: Sequence[str]) -> str:
        said: dict[int, bytes] = {1: b"", 2: b""}

        def output(stream: int, content: bytes) -> None:
            said[stream] = said.get(stream, b"") + content

        code = self.machine.run(argv, output=output, seconds=_LONGEST_LOAD_S)
        if code != 0:
            text = (said[1] + said[2]).decode(errors="replace")
            raise MachineError(f"{' '.join(argv)} failed in the VM with {code}:\n{text[-2000:]}")
        return said[1].decode()


class _Lines:
    """Takes the lines of reports apart as they come in pieces."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._held = b""
        self.exit: int | None = None

    def add(self, content: bytes) -> None:
        *lines, self._held = (self._held + content).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "report" in said:
                self._reports(said["report"])
            else:
                self.exit = said["exit"]


def booted(
    machine: Machine, root: Root, stock: Stock, shape: Shape, mode: str, progress: Progress
) -> Inside:
    """Boot a VM and install Holdfast in it, for tests of a mode."""
    archive = installed.archive(root, progress)
    release = machine.boot(root, stock, shape)
    machine.put(archive.read_bytes(), "/")
    return Inside(machine, programs.Target(stock.version, release, shape.hooks, mode))


def keep(machine: Machine, name: str) -> Path:
    """Keep what is left of a failed run, in the place of its name; return that place."""
    place = KEPT / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for path in machine.place.glob("*.log"):
        shutil.copy(path, place)
    logs = place / "logs"
    logs.mkdir()
    subprocess.run(
        ["debugfs", "-R", f"rdump / {logs}", str(machine.logs)],
        capture_output=True,
        check=False,
    )
    return place

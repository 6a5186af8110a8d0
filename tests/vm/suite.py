"""One run of the tests inside a VM: what goes in, comes out, and is kept when it fails."""

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.bootstrap.commands import run
from deploy.bootstrap.progress import Progress
from tests.vm import cache, installed
from tests.vm.checkout import PLACE
from tests.vm.image import CHECKOUT, ENVIRONMENT, Root, Stock
from tests.vm.kernels import Hooks
from tests.vm.machine import LOGS, Machine, MachineError, Shape

# What is kept of a run that failed: its console, and the logs of agents and servers.
KEPT = Path(os.environ.get("HOLDFAST_TEST_KEPT", "/var/tmp/holdfast-vm"))  # noqa: S108
PROGRAMS = "/var/cache/holdfast-programs"
_RECIPE = "2"
_SYSTEM_PYTHON = ("/usr/bin/python3", "-I")
_TYPES = "/sys/kernel/btf/vmlinux"
_LOADER = f"{PLACE}/agent/kernel/loader"
_LOCAL_LOADER = str(CHECKOUT / "agent/kernel/loader")
_COMPILE = Path(__file__).with_name("compile.py")
_MEASURE = f"{PLACE}/tests/vm/inside/complexity.py"
_LONGEST_LOAD_S = 600
_LONGEST_TESTS_S = 1800
# A test of ours takes seconds in there. One that says nothing for this long hangs.
_LONGEST_TEST_S = 300
_PYTEST = (
    *("-q", "-p", "tests.vm.inside.reports", "-p", "no:cacheprovider"),
    *("--durations=10", f"--timeout={_LONGEST_TEST_S}"),
)

Reports = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Program:
    """What one BPF program cost on one kernel."""

    name: str
    instructions: int
    verified: int
    peak_states: int
    machine_bytes: int


@dataclass(frozen=True, slots=True)
class Inside:
    """A booted VM with Holdfast installed."""

    machine: Machine
    stock: Stock
    release: str
    hooks: Hooks
    mode: str

    def programs(self) -> list[Program]:
        """Load the programs once, or know from an earlier run what that took.

        What was compiled for it is then there for the tests as well.
        """
        sources = _digest(CHECKOUT / "agent/kernel")
        key = [_RECIPE, self.stock.version, self.hooks, self.mode, sources]

        def build(place: Path) -> None:
            self.machine.put(self._compiled(), "/")
            measure = [*_SYSTEM_PYTHON, _MEASURE, _LOADER, *self._loader_options(PROGRAMS)]
            said = self._output(measure)
            (place / "programs.json").write_text(said.splitlines()[-1], encoding="utf-8")
            (place / "programs.tar.gz").write_bytes(self.machine.get([PROGRAMS]))

        place = cache.entry("programs", key, build)
        self.machine.put((place / "programs.tar.gz").read_bytes(), "/")
        rows = json.loads((place / "programs.json").read_text(encoding="utf-8"))
        return [Program(*(row[name] for name in Program.__slots__)) for row in rows]

    def tests(self, arguments: Sequence[str], reports: Reports) -> int:
        """Run pytest; return its exit code. `reports` gets each report as it is made.

        Raises MachineError for a VM that ends or hangs, and when pytest ends without saying how.
        """
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
                seconds=_LONGEST_TESTS_S,
                silence=_LONGEST_TEST_S + 60,
                cwd=PLACE,
                environment=self._environment(),
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
            "HOLDFAST_TEST_PROGRAMS": PROGRAMS,
            "HOLDFAST_TEST_LOGS": LOGS,
            "HOLDFAST_TEST_HOOKS": self.hooks,
            "HOLDFAST_TEST_MODE": self.mode,
        }

    def _compiled(self) -> bytes:
        """Return the programs, compiled on this machine for the VM's kernel, as a tar.gz."""

        def fetch(place: Path) -> None:
            with tarfile.open(fileobj=io.BytesIO(self.machine.get([_TYPES]))) as tar:
                member = tar.extractfile(_TYPES.lstrip("/"))
                assert member is not None
                (place / "vmlinux").write_bytes(member.read())

        types = cache.entry("types", [self.stock.version], fetch) / "vmlinux"
        content = io.BytesIO()
        with tempfile.TemporaryDirectory(prefix="holdfast-test-") as made:
            words = (str(_COMPILE), _LOCAL_LOADER, str(types), self.release)
            run([*_SYSTEM_PYTHON, *words, *self._loader_options(made)])
            with tarfile.open(fileobj=content, mode="w:gz") as tar:
                tar.add(made, PROGRAMS.lstrip("/"))
        return content.getvalue()

    def _loader_options(self, kept: str) -> list[str]:
        """Return the loader's arguments; it has no modes where it can do one thing only."""
        asked = [*_SYSTEM_PYTHON, _LOCAL_LOADER, "--help"]
        text = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        mode = ["--mode", self.hooks if self.mode == "gate" else self.mode]
        return ["--cache", kept, *(mode if "--mode" in text else [])]

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


def booted(machine: Machine, root: Root, stock: Stock, shape: Shape, progress: Progress) -> Inside:
    """Boot a VM and install Holdfast in it."""
    archive = installed.archive(root, progress)
    release = machine.boot(root, stock, shape)
    machine.put(archive.read_bytes(), "/")
    mode = os.environ.get("HOLDFAST_TEST_MODE", "gate")
    return Inside(machine, stock, release, shape.hooks, mode)


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


def _digest(directory: Path) -> str:
    found = sorted(path for path in directory.rglob("*") if path.suffix in (".c", ".h", ".py"))
    return cache.digest([f"{path.name} {path.read_text(encoding='utf-8')}" for path in found])
